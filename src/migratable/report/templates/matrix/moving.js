// -- moving -----------------------------------------------------------------------------------

function selected() {
  const row = view.rows[view.vm], column = view.columns[view.host];
  return row && column && row.vm >= 0 ? { vm: row.vm, host: column.host, which: at(row.vm, column.host), row, column } : null;
}

function move(vm, host, show = true) {
  const down = vm >= view.vm ? 1 : -1;
  vm = Math.max(0, Math.min(view.rows.length - 1, vm));
  while (view.rows[vm] && view.rows[vm].vm < 0) {
    const next = vm + down;
    vm = next < 0 || next >= view.rows.length ? vm - down : next;
    if (next < 0) { vm = view.rows.findIndex((one) => one.vm >= 0); break; }
  }
  view.vm = vm;
  view.host = Math.max(0, Math.min(view.columns.length - 1, host));
  if (show) reveal();
  announce();
  draw();
}

function reveal() {
  const px = view.host * view.size, py = view.vm * view.size;
  const wide = grid.clientWidth - geometry.left, tall = grid.clientHeight - geometry.top;
  if (px < grid.scrollLeft) grid.scrollLeft = px;
  else if (px + view.size > grid.scrollLeft + wide) grid.scrollLeft = px + view.size - wide;
  if (py < grid.scrollTop) grid.scrollTop = py;
  else if (py + view.size > grid.scrollTop + tall) grid.scrollTop = py + view.size - tall;
}

function sentence(one) {
  const answer = answers[one.which], state = STATES[effective[one.which]];
  const why = answer.r ? answer.r.rule : answer.c.length ? (causes[answer.c[0]] || {}).rule : answer.f.length ? data.findings[answer.f[0]].rule : answer.u.length && answer.s !== index.loads ? data.strings[answer.u[0]] : "";
  const back = answer.w ? `; ${data.backs[answer.w - 1].short}` : "";
  return `${state.short}${why ? ": " + why : ""}${back}`;
}

function announce() {
  const one = selected();
  if (!one) return;
  $("here-row").setAttribute("aria-rowindex", view.vm + 1);
  $("here").setAttribute("aria-colindex", view.host + 1);
  $("here-name").textContent = label(one.row);
  $("here").textContent = `${label(one.row)} to ${hostLabel(one.column)}: ${sentence(one)}`;
  status(`${label(one.row)} → ${hostLabel(one.column)}: ${sentence(one)}`);
}

function next(step) {
  const rows = view.rows.length, columns = view.columns.length;
  const total = rows * columns;
  let place_ = view.vm * columns + view.host;
  for (let tried = 0; tried < total; tried++) {
    place_ = (place_ + step + total) % total;
    const row = view.rows[Math.floor(place_ / columns)];
    if (row.vm < 0) continue;
    const which = at(row.vm, view.columns[place_ % columns].host);
    if (effective[which] === index.refused && (!lit || lit[which])) { move(Math.floor(place_ / columns), place_ % columns); return; }
  }
}

function zoom(size, pointer) {
  size = Math.max(2, Math.min(32, Math.round(size)));
  const px = pointer ? pointer.x - geometry.left : (grid.clientWidth - geometry.left) / 2;
  const py = pointer ? pointer.y - geometry.top : (grid.clientHeight - geometry.top) / 2;
  const column = (grid.scrollLeft + px) / view.size, row = (grid.scrollTop + py) / view.size;
  view.size = size;
  $("size").value = size;
  place();
  grid.scrollLeft = column * size - px;
  grid.scrollTop = row * size - py;
  draw();
}
function fit() {
  const wide = (grid.clientWidth - geometry.left - 4) / Math.max(1, view.columns.length);
  const tall = (grid.clientHeight - geometry.top - 4) / Math.max(1, view.rows.length);
  zoom(Math.floor(Math.min(wide, tall, 26)));
  grid.scrollLeft = grid.scrollTop = 0;
}

function hit(event) {
  const area = grid.getBoundingClientRect();
  const x = event.clientX - area.left - grid.clientLeft, y = event.clientY - area.top - grid.clientTop;
  const host = Math.floor((x - geometry.left + grid.scrollLeft) / view.size);
  const vm = Math.floor((y - geometry.top + grid.scrollTop) / view.size);
  return { vm: y < geometry.top ? -1 : vm, host: x < geometry.left ? -1 : host, x, y };
}
