// -- geometry ---------------------------------------------------------------------------------

const geometry = { left: 160, top: 90, width: 0, height: 0 };
function measure() {
  context.font = "600 12px system-ui, 'DejaVu Sans', sans-serif";
  let wide = 60;
  for (const one of view.rows.slice(0, 400)) if (one.vm >= 0) wide = Math.max(wide, context.measureText(narrow(label(one), 40)).width);
  let tall = 30;
  for (const one of view.columns.slice(0, 400)) tall = Math.max(tall, context.measureText(narrow(hostLabel(one), 28)).width);
  geometry.left = Math.min(Math.ceil(wide) + 16, Math.max(120, grid.clientWidth * 0.35));
  geometry.top = Math.min(Math.ceil(tall) + 14, 190);
}
const fact = (lines, which, name) => (data.facts[lines.facts[which]].find((pair) => pair[0] === name) || [])[1];
function hostLabel(one) {
  const several = one.members && one.members.length > 1 ? ` ×${one.members.length}` : "";
  const qemu = fact(hosts, one.host, "qemu");
  return hosts.names[one.host] + several + (qemu && !hosts.names[one.host].includes(qemu) ? ` (${qemu})` : "");
}
const label = (one) => (one.members && one.members.length > 1 ? `${vms.names[one.vm]} ×${one.members.length}` : vms.names[one.vm]);

// A heading is as tall as its letters, however small the cells are: it takes several rows then.
function spread() {
  const tall = Math.max(1, Math.ceil(15 / view.size));
  if (tall === view.spread) return;
  const row = view.rows[view.vm];
  const heads = view.lines.some((one) => one.vm < 0);
  view.rows = !heads || tall === 1 ? view.lines : view.lines.flatMap((one) =>
    (one.vm >= 0 ? [one] : [{ ...one, tall }, ...Array.from({ length: tall - 1 }, () => ({ head: "", vm: -1 }))]));
  view.spread = tall;
  if (row && row.vm >= 0) view.vm = Math.max(0, view.rows.findIndex((one) => one.vm === row.vm));
}

function place() {
  spread();
  measure();
  const wide = geometry.left + view.columns.length * view.size + 2;
  const tall = geometry.top + view.rows.length * view.size + 2;
  grid.style.maxHeight = `${tall + 24}px`; // a map of few rows is as tall as they are
  space.style.width = `${Math.max(wide, grid.clientWidth)}px`;
  space.style.height = `${Math.max(tall, grid.clientHeight)}px`;
  const ratio = window.devicePixelRatio || 1;
  geometry.width = grid.clientWidth;
  geometry.height = grid.clientHeight;
  canvas.width = Math.round(geometry.width * ratio);
  canvas.height = Math.round(geometry.height * ratio);
  canvas.style.width = `${geometry.width}px`;
  canvas.style.height = `${geometry.height}px`;
  grid.setAttribute("aria-rowcount", view.rows.length);
  grid.setAttribute("aria-colcount", view.columns.length);
  status();
  draw();
}

function status(text) {
  const folded = view.rows.filter((one) => one.vm >= 0).length;
  const rows = view.fold && folded !== view.found ? `${number(view.found)} in ${number(folded)} rows` : number(view.found);
  const across = view.columns.length !== view.across ? `${number(view.across)} in ${number(view.columns.length)} columns` : number(view.across);
  const base = `${rows} of ${number(vms.names.length)} ${data.rowsAre}, ${across} of ${number(hosts.names.length)} ${data.columnsAre}`;
  $("status").textContent = text ? `${text} — ${base}` : base;
}
