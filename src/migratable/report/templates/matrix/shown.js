// -- what is shown ----------------------------------------------------------------------------

const view = {
  rows: [], columns: [], size: 18, fold: false, states: new Set(), backs: new Set(), cause: -1, fixed: new Set(),
  vm: 0, host: 0, same: -1, lines: [], spread: 0,
};
let effective = new Uint8Array(answers.length);
let lit = null; // which answers are not dimmed; null: all
const at = (vm, host) => data.patterns[vms.pattern[vm]][host];

function settle() {
  effective = Uint8Array.from(answers, (answer) => {
    if (answer.s !== index.refused || !answer.c.length) return answer.s;
    return answer.c.every((cause) => view.fixed.has(cause)) ? MENDED : answer.s;
  });
  lit = null;
  if (view.states.size || view.backs.size || view.cause >= 0 || view.same >= 0) {
    lit = answers.map((answer, which) =>
      (!view.states.size || view.states.has(effective[which])) &&
      (!view.backs.size || view.backs.has(answer.w)) &&
      (view.cause < 0 || answer.c.includes(view.cause)) &&
      (view.same < 0 || which === view.same));
  }
  const more = answers.reduce((sum, answer, which) => sum + (effective[which] === MENDED ? answer.n : 0), 0);
  $("mended-note").textContent = view.fixed.size
    ? `With ${view.fixed.size} ${view.fixed.size === 1 ? "cause" : "causes"} fixed ${number(more)} more would load.` : "";
}

function words(text) { return text.toLowerCase().split(/\s+/).filter(Boolean); }

function searchable(lines, which) {
  const facts = data.facts[lines.facts[which]];
  return `${lines.names[which]} ${data.groups[lines.group[which]]} ${facts.map((pair) => pair[1]).join(" ")}`.toLowerCase();
}
const texts = { vms: [], hosts: [] };

function matching(lines, kept, query) {
  const wanted = words(query);
  const out = [];
  for (let which = 0; which < lines.names.length; which++) {
    if (wanted.length) {
      kept[which] ??= searchable(lines, which);
      if (!wanted.every((word) => kept[which].includes(word))) continue;
    }
    out.push(which);
  }
  return out;
}

// How much trouble a row or a column has: refused pairs first, then what is not known.
function troubles(which, others, byVm) {
  let refused = 0, unknown = 0;
  for (const other of others) {
    const state = effective[byVm ? at(which, other) : at(other, which)];
    if (state === index.refused) refused++;
    else if (state === index.unknown || state === index.failed) unknown++;
  }
  return refused * 1e7 + unknown;
}

function mainCause(vm, shown) {
  const count = new Map();
  for (const host of shown) {
    const which = at(vm, host);
    if (effective[which] === index.refused) for (const cause of answers[which].c) count.set(cause, (count.get(cause) || 0) + 1);
  }
  let best = -1;
  for (const [cause, times] of count) if (best < 0 || times > count.get(best) || (times === count.get(best) && cause < best)) best = cause;
  if (best >= 0) return best;
  const there = shown.map((host) => effective[at(vm, host)]);
  if (there.includes(index.failed)) return causes.length;
  if (there.includes(index.unknown)) return causes.length + 1;
  return causes.length + 2;
}

// Hosts of one group with the same answer for every VM.
let signatures = null;
function foldHosts(columns) {
  if (!view.fold) return columns.map((host) => ({ host, members: null }));
  signatures ??= hosts.names.map((_, host) => `${hosts.group[host]}:${data.patterns.map((row) => row[host]).join()}`);
  const known = new Map();
  for (const host of columns) {
    if (known.has(signatures[host])) known.get(signatures[host]).push(host); else known.set(signatures[host], [host]);
  }
  return [...known.values()].map((members) => ({ host: members[0], members }));
}

const collator = new Intl.Collator("en", { numeric: true });
const byName = (lines) => (a, b) => collator.compare(lines.names[a], lines.names[b]);

function causeLabel(cause) {
  if (cause === causes.length) return "could not be examined";
  if (cause === causes.length + 1) return "unknown";
  if (cause === causes.length + 2) return "nothing refuses";
  if (cause > causes.length) return "causes that are not in the list";
  const one = causes[cause];
  return `${one.rule}${one.device ? " " + one.device : ""}: ${one.summary}`;
}

function arrange() {
  const started = performance.now();
  let rows = matching(vms, texts.vms, $("find-vm").value);
  const columns = matching(hosts, texts.hosts, $("find-host").value); // hosts, one by one
  if (lit) rows = rows.filter((vm) => columns.some((host) => lit[at(vm, host)]));
  const found = rows.length;
  // Folding: VMs of one group with the same answers.
  let lines;
  if (view.fold) {
    const known = new Map();
    for (const vm of rows) {
      const key = vms.pattern[vm] * data.groups.length + vms.group[vm];
      if (known.has(key)) known.get(key).push(vm); else known.set(key, [vm]);
    }
    lines = [...known.values()].map((members) => ({ members, vm: members[0] }));
  } else lines = rows.map((vm) => ({ members: null, vm }));
  const order = $("sort-vm").value;
  if (order === "name") lines.sort((a, b) => byName(vms)(a.vm, b.vm));
  else if (order === "trouble") {
    const worth = new Map(lines.map((one) => [one.vm, troubles(one.vm, columns, true)]));
    lines.sort((a, b) => worth.get(b.vm) - worth.get(a.vm));
  } else if (order === "cause" || order === "group") {
    const parts = new Map();
    for (const one of lines) {
      const key = order === "cause" ? mainCause(one.vm, columns) : vms.group[one.vm];
      if (parts.has(key)) parts.get(key).push(one); else parts.set(key, [one]);
    }
    const keys = [...parts.keys()].sort((a, b) => a - b);
    lines = [];
    for (const key of keys) {
      const count = parts.get(key).reduce((sum, one) => sum + (one.members ? one.members.length : 1), 0);
      const label = order === "cause" ? causeLabel(key) : data.groups[key] || "no group";
      lines.push({ head: `${label}  (${number(count)})`, vm: -1 });
      lines.push(...parts.get(key));
    }
  }
  let shown = foldHosts(columns);
  const across = $("sort-host").value;
  if (across === "name") shown.sort((a, b) => byName(hosts)(a.host, b.host));
  else if (across === "trouble") {
    const worth = new Map(shown.map((one) => [one.host, troubles(one.host, rows, false)]));
    shown.sort((a, b) => worth.get(b.host) - worth.get(a.host));
  } else if (across === "group") {
    shown.sort((a, b) => hosts.group[a.host] - hosts.group[b.host]);
  }
  view.lines = lines;
  view.columns = shown;
  view.found = found;
  view.across = columns.length;
  view.spread = 0;
  place();
  canvas.dataset.arranged = (performance.now() - started).toFixed(1);
}
