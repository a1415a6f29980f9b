"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const STATES = data.states; // name, short, long; the last one is "mended"
  const MENDED = STATES.length - 1;
  const index = Object.fromEntries(STATES.map((one, at) => [one.name, at]));
  const vms = data.vms, hosts = data.hosts, answers = data.answers, causes = data.causes;
  const $ = (id) => document.getElementById(id);
  const grid = $("grid"), canvas = $("canvas"), space = $("space");
  const context = canvas.getContext("2d");
  const number = (value) => value.toLocaleString("en");
  const narrow = (text, most) => (text.length > most ? text.slice(0, most - 1) + "…" : text);

  // -- what is shown ----------------------------------------------------------------------------

  const view = {
    rows: [], columns: [], size: 18, fold: false, states: new Set(), cause: -1, fixed: new Set(),
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
    if (view.states.size || view.cause >= 0 || view.same >= 0) {
      lit = answers.map((answer, which) =>
        (!view.states.size || view.states.has(effective[which])) &&
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

  // -- drawing ----------------------------------------------------------------------------------

  let colours = {};
  let sprites = new Map();
  function readColours() {
    const style = getComputedStyle(document.documentElement);
    const get = (name) => style.getPropertyValue(name).trim();
    colours = { page: get("--page"), text: get("--text"), soft: get("--soft"), line: get("--line"), band: get("--band"), accent: get("--accent"), fill: [], ink: [] };
    for (const one of STATES) { colours.fill.push(get(`--${one.name}`)); colours.ink.push(get(`--ink-${one.name}`)); }
    sprites = new Map();
    document.querySelectorAll(".chip canvas").forEach((one) => {
      const ratio = window.devicePixelRatio || 1;
      one.width = one.height = Math.round(18 * ratio);
      const chip = one.getContext("2d");
      chip.scale(ratio, ratio);
      mark(chip, index[one.parentElement.dataset.state], 0, 0, 18);
    });
  }

  // A state is told by its shape too: nobody has to tell colours apart.
  function mark(g, state, x, y, size) {
    const name = STATES[state].name;
    g.fillStyle = colours.fill[state];
    g.fillRect(x, y, size, size);
    g.strokeStyle = g.fillStyle = colours.ink[state];
    const pad = size * 0.28, far = size - pad, middle = size / 2;
    g.lineWidth = Math.max(1, size / 9);
    g.lineCap = "round";
    g.beginPath();
    if (name === "refused") {
      g.lineWidth = Math.max(1.2, size / 7);
      g.moveTo(x + pad, y + pad); g.lineTo(x + far, y + far); g.moveTo(x + far, y + pad); g.lineTo(x + pad, y + far); g.stroke();
    } else if (name === "endangers") {
      g.moveTo(x + middle, y + pad * 0.8); g.lineTo(x + far, y + far); g.lineTo(x + pad, y + far); g.closePath(); g.fill();
    } else if (name === "warns") {
      g.moveTo(x + middle, y + pad * 0.8); g.lineTo(x + middle, y + size * 0.56); g.stroke();
      g.beginPath(); g.arc(x + middle, y + size * 0.75, Math.max(0.7, size / 14), 0, 7); g.fill();
    } else if (name === "loads") {
      g.lineWidth = Math.max(0.8, size / 12);
      g.moveTo(x + pad * 1.1, y + middle); g.lineTo(x + size * 0.45, y + far * 0.94); g.lineTo(x + far * 0.97, y + pad * 1.15); g.stroke();
    } else if (name === "latent") {
      g.arc(x + middle, y + middle, size * 0.2, 0, 7); g.stroke();
    } else if (name === "unknown") {
      g.lineWidth = Math.max(0.8, size / 14);
      for (let step = -1; step < 2; step++) { g.moveTo(x + size * (0.5 + step * 0.33) - size * 0.2, y + size * 0.8); g.lineTo(x + size * (0.5 + step * 0.33) + size * 0.2, y + size * 0.2); }
      g.save(); g.clip(rect(x, y, size)); g.stroke(); g.restore();
    } else if (name === "failed") {
      g.arc(x + middle, y + middle, size * 0.26, 0, 7); g.moveTo(x + size * 0.32, y + size * 0.68); g.lineTo(x + size * 0.68, y + size * 0.32); g.stroke();
    } else if (name === "mended") {
      g.moveTo(x + pad, y + middle); g.lineTo(x + size * 0.44, y + far); g.lineTo(x + far, y + pad); g.stroke();
    } else if (name === "none") {
      g.arc(x + middle, y + middle, Math.max(0.6, size / 16), 0, 7); g.fill();
    }
  }
  function rect(x, y, size) { const path = new Path2D(); path.rect(x, y, size, size); return path; }

  // Cells are copied pixel by pixel: without a graphics card that is many times faster than drawing.
  function pixels(size, paintTile) {
    const one = document.createElement("canvas");
    one.width = one.height = size;
    const g = one.getContext("2d", { willReadFrequently: true });
    paintTile(g);
    return new Uint32Array(g.getImageData(0, 0, size, size).data.buffer);
  }
  function tile(state, dim, size, ratio) {
    const key = `${state} ${dim} ${size} ${ratio}`;
    let found = sprites.get(key);
    if (!found) {
      const inner = Math.max(1, Math.round(size * ratio));
      found = pixels(inner, (g) => {
        g.save();
        g.fillStyle = colours.page; g.fillRect(0, 0, inner, inner);
        g.globalAlpha = dim ? 0.13 : 1;
        const whole = document.createElement("canvas");
        whole.width = whole.height = inner;
        const w = whole.getContext("2d");
        w.scale(inner / size, inner / size);
        mark(w, state, 0, 0, size);
        g.drawImage(whole, 0, 0);
        g.restore();
      });
      sprites.set(key, found);
    }
    return found;
  }
  // For cells too small for a mark: hatching that runs over neighbours.
  function hatch(state, dim) {
    const key = `hatch ${state} ${dim}`;
    let found = sprites.get(key);
    if (!found) {
      const name = STATES[state].name;
      found = pixels(8, (g) => {
        g.fillStyle = colours.page; g.fillRect(0, 0, 8, 8);
        g.globalAlpha = dim ? 0.13 : 1;
        g.fillStyle = colours.fill[state]; g.fillRect(0, 0, 8, 8);
        g.globalAlpha *= 0.6;
        g.strokeStyle = g.fillStyle = colours.ink[state];
        g.beginPath();
        if (name === "unknown" || name === "failed") { g.moveTo(0, 8); g.lineTo(8, 0); g.moveTo(-4, 4); g.lineTo(4, -4); g.moveTo(4, 12); g.lineTo(12, 4); g.stroke(); }
        else if (name === "endangers" || name === "warns") { g.moveTo(0, 3.5); g.lineTo(8, 3.5); g.stroke(); }
        else if (name === "latent" || name === "mended") g.fillRect(3, 3, 2, 2);
      });
      sprites.set(key, found);
    }
    return found;
  }
  let buffer = null;
  function cells(g, box, range, ids) {
    const { x, y, size, left, top, ratio } = box;
    const wide = Math.max(1, Math.round((box.width - left) * ratio)), tall = Math.max(1, Math.round((box.height - top) * ratio));
    if (!buffer || buffer.width !== wide || buffer.height !== tall) buffer = g.createImageData(wide, tall);
    const out = new Uint32Array(buffer.data.buffer);
    out.fill(pixels(1, (one) => { one.fillStyle = colours.page; one.fillRect(0, 0, 1, 1); })[0]);
    const small = size < 9, inner = Math.max(1, Math.round((size - 1) * ratio));
    for (let row = range.firstRow; row < range.lastRow; row++) {
      const one = view.rows[row];
      if (one.vm < 0) continue;
      const pattern = data.patterns[vms.pattern[one.vm]];
      const y0 = Math.round((row * size - y) * ratio);
      if (y0 + inner < 0 && y0 + size * ratio < 0) continue;
      const from = Math.max(0, y0), to = Math.min(tall, small ? Math.round(((row + 1) * size - y) * ratio) : y0 + inner);
      for (let column = range.firstColumn; column < range.lastColumn; column++) {
        const which = pattern[ids[column]], dim = Boolean(lit && !lit[which]);
        const x0 = Math.round((column * size - x) * ratio);
        const start = Math.max(0, x0);
        const end = Math.min(wide, small ? Math.round(((column + 1) * size - x) * ratio) : x0 + inner);
        if (end <= start) continue;
        if (small) {
          const texture = hatch(effective[which], dim);
          for (let py = from; py < to; py++) for (let px = start, at_ = py * wide + start; px < end; px++) out[at_++] = texture[((py & 7) << 3) | (px & 7)];
        } else {
          const texture = tile(effective[which], dim, size - 1, ratio);
          for (let py = from; py < to; py++) {
            const source = (py - y0) * inner;
            out.set(texture.subarray(source + start - x0, source + end - x0), py * wide + start);
          }
        }
      }
    }
    g.putImageData(buffer, Math.round(left * ratio), Math.round(top * ratio));
  }

  let pending = 0;
  function draw() {
    if (pending) return;
    pending = requestAnimationFrame(() => {
      pending = 0;
      const started = performance.now();
      const ratio = window.devicePixelRatio || 1;
      context.setTransform(ratio, 0, 0, ratio, 0, 0);
      paint(context, { width: geometry.width, height: geometry.height, x: grid.scrollLeft, y: grid.scrollTop, size: view.size, left: geometry.left, top: geometry.top, ratio, cursor: true });
      canvas.dataset.drawn = (performance.now() - started).toFixed(1);
      canvas.dataset.frames = Number(canvas.dataset.frames || 0) + 1;
    });
  }

  function paint(g, box) {
    const { width, height, x, y, size, left, top } = box;
    g.fillStyle = colours.page;
    g.fillRect(0, 0, width, height);
    const firstColumn = Math.max(0, Math.floor(x / size)), firstRow = Math.max(0, Math.floor(y / size) - 8);
    const lastColumn = Math.min(view.columns.length, Math.ceil((x + width - left) / size));
    const lastRow = Math.min(view.rows.length, Math.ceil((y + height - top) / size));
    const range = { firstRow, lastRow, firstColumn, lastColumn };
    cells(g, box, range, view.columns.map((one) => one.host));
    g.save();
    g.beginPath(); g.rect(left, top, width - left, height - top); g.clip();
    for (let row = firstRow; row < lastRow; row++) {
      const one = view.rows[row];
      if (one.vm < 0 && one.head) head(g, one, top + row * size - y, size, width);
    }
    g.restore();
    labels(g, box, range);
    if (box.cursor) cursor(g, box);
  }

  function head(g, one, y, size, width) {
    const tall = size * (one.tall || 1);
    g.fillStyle = colours.band;
    g.fillRect(0, y, width, tall);
    if (!one.head) return;
    g.fillStyle = colours.text;
    g.font = "600 12px system-ui, 'DejaVu Sans', sans-serif";
    g.textBaseline = "middle";
    g.fillText(one.head, geometry.left + 6, y + tall / 2);
  }

  // Where there is no room for all names, every so many are shown; the cursor's always are.
  function labels(g, box, range) {
    const { width, height, x, y, size, left, top } = box;
    const font = Math.max(7, Math.min(12, size - 3));
    const step = Math.max(1, Math.ceil((font + 2) / size));
    g.font = `${font}px system-ui, 'DejaVu Sans', sans-serif`;
    g.textBaseline = "middle";
    g.fillStyle = colours.page;
    g.fillRect(0, top, left - 2, height - top);
    g.save();
    g.beginPath(); g.rect(0, top, left - 4, height - top); g.clip();
    for (let row = range.firstRow; row < range.lastRow; row++) {
      const one = view.rows[row], py = top + row * size - y;
      if (one.vm < 0) {
        g.fillStyle = colours.band; g.fillRect(0, py, left, size);
        continue;
      }
      if (row % step && size * step > size) continue;
      g.fillStyle = colours.text;
      g.fillText(narrow(label(one), Math.max(6, Math.floor(left / (font * 0.55)))), 6, py + size / 2);
    }
    g.restore();
    g.fillStyle = colours.page;
    g.fillRect(0, 0, width, top - 2);
    g.save();
    g.beginPath(); g.rect(left, 0, width - left, top - 3); g.clip();
    g.font = `${font}px system-ui, 'DejaVu Sans', sans-serif`;
    let group = -1;
    for (let column = range.firstColumn; column < range.lastColumn; column++) {
      const host = view.columns[column].host;
      const px = left + column * size - x;
      if (hosts.group[host] !== group && column > range.firstColumn && size >= 5) {
        g.fillStyle = colours.line; g.fillRect(px - 1, 0, 1, top);
      }
      group = hosts.group[host];
      if (column % step) continue;
      g.save();
      g.translate(px + size / 2, top - 6);
      g.rotate(-Math.PI / 2);
      g.fillStyle = colours.text;
      g.fillText(narrow(hostLabel(view.columns[column]), 28), 0, 0);
      g.restore();
    }
    g.restore();
    g.fillStyle = colours.line;
    g.fillRect(0, top - 2, width, 1);
    g.fillRect(left - 2, 0, 1, height);
  }

  function cursor(g, box) {
    const { x, y, size, left, top, width, height } = box;
    const one = view.rows[view.vm];
    if (!one || !view.columns.length) return;
    const px = left + view.host * size - x, py = top + view.vm * size - y;
    g.save();
    g.beginPath(); g.rect(left, top, width - left, height - top); g.clip();
    g.strokeStyle = colours.page; g.lineWidth = 4; g.strokeRect(px - 1.5, py - 1.5, size + 2, size + 2);
    g.strokeStyle = colours.accent; g.lineWidth = 2; g.strokeRect(px - 1.5, py - 1.5, size + 2, size + 2);
    g.restore();
    if (one.vm < 0) return;
    g.font = "600 12px system-ui, 'DejaVu Sans', sans-serif";
    g.textBaseline = "middle";
    if (py > top - size && py < height) {
      g.fillStyle = colours.accent; g.fillRect(0, Math.max(top, py + size / 2 - 9), left - 4, 18);
      g.fillStyle = colours.page;
      g.save(); g.beginPath(); g.rect(0, top, left - 6, height); g.clip();
      g.fillText(label(one), 6, Math.max(top + 9, py + size / 2)); g.restore();
    }
    if (px > left - size && px < width) {
      g.save();
      g.fillStyle = colours.accent; g.fillRect(px + size / 2 - 9, 0, 18, top - 4);
      g.translate(px + size / 2, top - 6); g.rotate(-Math.PI / 2);
      g.fillStyle = colours.page;
      g.fillText(narrow(hostLabel(view.columns[view.host]), 28), 0, 0);
      g.restore();
    }
  }

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
    return `${state.short}${why ? ": " + why : ""}`;
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

  // -- panel ------------------------------------------------------------------------------------

  function make(tag, options = {}, ...children) {
    const one = document.createElement(tag);
    for (const [name, value] of Object.entries(options)) {
      if (name === "class") one.className = value;
      else if (name === "on") one.addEventListener("click", value);
      else one.setAttribute(name, value);
    }
    for (const child of children) if (child !== null && child !== undefined && child !== "") one.append(child);
    return one;
  }

  const panels = ["causes", "news", "cell"].filter((name) => $(name));
  function tab(name, focus) {
    for (const one of panels) {
      const chosen = one === name;
      $(one).hidden = !chosen;
      $(`tab-${one}`).setAttribute("aria-selected", chosen);
      $(`tab-${one}`).tabIndex = chosen ? 0 : -1;
    }
    if (focus) $(name).focus({ preventScroll: true });
  }

  function factsList(lines, which) {
    const list = make("dl", { class: "facts" });
    for (const [name, value] of data.facts[lines.facts[which]]) list.append(make("dt", {}, name), make("dd", {}, value));
    return list;
  }

  function findingBlock(one) {
    const block = make("div", { class: "finding" });
    const place_ = one.device === null ? "" : ` ${one.device}${one.instance_id === null ? "" : ` instance ${one.instance_id}`}`;
    block.append(make("h3", {}, make("span", { class: `badge ${one.severity}` }, one.severity), " ", make("code", {}, one.rule), make("span", { class: "device" }, place_)));
    const where = [one.subsection, one.field].filter(Boolean).join(" / ");
    if (where) block.append(make("p", { class: "soft" }, where));
    block.append(make("p", {}, one.summary));
    if (one.explanation) block.append(make("details", { open: "" }, make("summary", { class: "soft" }, "evidence"), make("p", {}, one.explanation)));
    const lines = one.stderr.filter((line) => !one.summary.includes(line));
    if (lines.length) block.append(make("p", { class: "soft" }, "QEMU prints for this"), make("pre", {}, lines.join("\n")));
    if (one.severity === "latent" && !one.hints.length) block.append(make("p", { class: "fix" }, "It loads now. Ask again with the guest's state of that moment before you migrate, or take a destination that knows it."));
    for (const hint of one.hints) {
      const tried = hint.verified ? `, tried (${hint.verified})` : "";
      const again = (hint.needs_guest_restart ? ", needs a restart of the guest" : "") + (hint.changes ? `; ${hint.changes}` : "");
      const line = make("div", { class: "hint" }, make("b", {}, "fix "), hint.action, make("span", { class: "soft" }, ` on the ${hint.side}${tried}${again}`));
      if (hint.command) {
        line.append(make("code", {}, hint.command));
        const copy = make("button", { type: "button", on: () => navigator.clipboard?.writeText(hint.command).then(() => { copy.textContent = "copied"; }) }, "copy");
        if (navigator.clipboard) line.append(copy);
      }
      block.append(line);
    }
    return block;
  }

  function showCell(focus) {
    const one = selected();
    if (!one) return;
    const answer = answers[one.which], state = STATES[effective[one.which]];
    const box = $("cell");
    box.replaceChildren();
    box.append(make("h2", {}, `${vms.names[one.vm]} → ${hosts.names[one.host]}`));
    if (one.row.members && one.row.members.length > 1) {
      const names = one.row.members.map((vm) => vms.names[vm]);
      box.append(make("details", {}, make("summary", { class: "soft" }, `stands for ${number(names.length)} equal ${data.rowsAre}`), make("p", {}, narrow(names.join(", "), 4000))));
    }
    if (one.column.members && one.column.members.length > 1) {
      const names = one.column.members.map((host) => hosts.names[host]);
      box.append(make("details", {}, make("summary", { class: "soft" }, `and for ${number(names.length)} equal ${data.columnsAre}`), make("p", {}, narrow(names.join(", "), 4000))));
    }
    box.append(make("p", {}, make("span", { class: `badge ${state.name}` }, state.short), make("span", { class: "soft" }, ` ${state.long}${answer.b ? `, ${answer.b}` : ""}`)));
    if (answer.r) {
      box.append(make("p", { class: "soft" }, "QEMU will print"), make("pre", {}, (answer.e.length ? answer.e.map((at_) => data.strings[at_]) : [answer.r.message]).join("\n") || "nothing"));
    } else if (answer.e.length) box.append(make("p", { class: "soft" }, "QEMU will print"), make("pre", {}, answer.e.map((at_) => data.strings[at_]).join("\n")));
    for (const which of answer.f) box.append(findingBlock(data.findings[which]));
    if (!answer.f.length && answer.s === index.loads) box.append(make("p", {}, "Nothing was found."));
    if (answer.u.length) {
      const open = answer.s === index.unknown || answer.s === index.failed;
      box.append(make("details", open ? { open: "" } : {}, make("summary", { class: "soft" }, "not examined"), ...answer.u.map((at_) => make("p", {}, data.strings[at_]))));
    }
    const same = make("button", { type: "button", "aria-pressed": view.same === one.which, class: "show", on: () => {
      view.same = view.same === one.which ? -1 : one.which;
      same.setAttribute("aria-pressed", view.same >= 0);
      settle(); keep(arrange);
    } }, `show the ${number(answer.n)} ${answer.n === 1 ? "pair" : "pairs"} with this answer`);
    box.append(make("p", {}, same));
    box.append(make("h2", {}, vms.names[one.vm]), factsList(vms, one.vm), make("h2", {}, hosts.names[one.host]), factsList(hosts, one.host));
    tab("cell", focus);
    history.replaceState(null, "", `#${new URLSearchParams({ vm: vms.names[one.vm], host: hosts.names[one.host] })}`);
  }

  // Rearranges and stays with the pair that was selected.
  function keep(work) {
    const one = selected();
    work();
    if (one) goTo(one.vm, one.host, false);
    draw();
  }
  function goTo(vm, host, show = true) {
    const row = view.rows.findIndex((one) => one.vm === vm || (one.members && one.members.includes(vm)));
    const column = view.columns.findIndex((one) => one.host === host || (one.members && one.members.includes(host)));
    if (row >= 0 && column >= 0) { move(row, column, show); return true; }
    if (view.vm >= view.rows.length || view.host >= view.columns.length || (view.rows[view.vm] || {}).vm < 0) move(0, 0, false);
    return false;
  }

  // -- wiring -----------------------------------------------------------------------------------

  let timer = 0;
  for (const id of ["find-vm", "find-host"]) $(id).addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(() => keep(arrange), 60); });
  for (const id of ["find-vm", "find-host"]) $(id).addEventListener("keydown", (event) => { if (event.key === "Enter" || event.key === "ArrowDown") { arrange(); goTo(-1, -1); grid.focus(); event.preventDefault(); } });
  for (const id of ["sort-vm", "sort-host"]) $(id).addEventListener("change", () => keep(arrange));
  $("fold").addEventListener("change", () => { view.fold = $("fold").checked; keep(arrange); });
  $("size").addEventListener("input", () => zoom(Number($("size").value)));
  $("smaller").addEventListener("click", () => zoom(view.size - Math.max(1, Math.round(view.size / 6))));
  $("larger").addEventListener("click", () => zoom(view.size + Math.max(1, Math.round(view.size / 6))));
  $("fit").addEventListener("click", fit);

  document.querySelectorAll(".chip").forEach((chip) => chip.addEventListener("click", () => {
    const state = index[chip.dataset.state];
    if (view.states.has(state)) view.states.delete(state); else view.states.add(state);
    chip.setAttribute("aria-pressed", view.states.has(state));
    settle(); keep(arrange);
  }));
  document.querySelectorAll("#causes .cause").forEach((item) => {
    const cause = Number(item.dataset.cause);
    item.querySelector(".fixed").addEventListener("change", (event) => {
      if (event.target.checked) view.fixed.add(cause); else view.fixed.delete(cause);
      settle(); keep(arrange);
    });
    const button = item.querySelector(".show");
    button.addEventListener("click", () => {
      const on = view.cause !== cause;
      document.querySelectorAll("#causes .show").forEach((other) => other.setAttribute("aria-pressed", "false"));
      view.cause = on ? cause : -1;
      button.setAttribute("aria-pressed", on);
      settle(); keep(arrange); grid.scrollTop = 0;
    });
  });
  document.querySelectorAll(".go").forEach((button) => button.addEventListener("click", () => {
    if (!goTo(Number(button.dataset.vm), Number(button.dataset.host))) {
      $("find-vm").value = $("find-host").value = "";
      view.states.clear(); view.cause = view.same = -1;
      document.querySelectorAll("[aria-pressed=true]").forEach((one) => one.setAttribute("aria-pressed", "false"));
      settle(); arrange();
      goTo(Number(button.dataset.vm), Number(button.dataset.host));
    }
    showCell(true);
  }));
  for (const one of panels) {
    $(`tab-${one}`).addEventListener("click", () => tab(one, false));
    $(`tab-${one}`).addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!step) return;
      const other = panels[(panels.indexOf(one) + step + panels.length) % panels.length];
      tab(other, false); $(`tab-${other}`).focus(); event.preventDefault();
    });
  }

  grid.addEventListener("scroll", draw, { passive: true });
  grid.addEventListener("wheel", (event) => {
    if (!event.ctrlKey) return;
    event.preventDefault();
    zoom(view.size + (event.deltaY < 0 ? 1 : -1) * Math.max(1, Math.round(view.size / 8)), hit(event));
  }, { passive: false });
  grid.addEventListener("click", (event) => {
    const place_ = hit(event);
    if (place_.vm >= view.rows.length || place_.host >= view.columns.length) return;
    move(place_.vm < 0 ? view.vm : place_.vm, place_.host < 0 ? view.host : place_.host, false);
    showCell(false);
  });
  const tip = $("tip");
  grid.addEventListener("mousemove", (event) => {
    const place_ = hit(event);
    const row = view.rows[place_.vm], column = view.columns[place_.host];
    if (!row || (row.vm >= 0 && !column && place_.host >= 0)) { tip.hidden = true; return; }
    if (row.vm < 0) tip.textContent = row.head;
    else if (!column) tip.textContent = label(row);
    else tip.textContent = `${label(row)} → ${hostLabel(column)}: ${sentence({ which: at(row.vm, column.host) })}`;
    tip.hidden = false;
    tip.style.left = `${Math.min(event.clientX + 14, window.innerWidth - tip.offsetWidth - 8)}px`;
    tip.style.top = `${Math.min(event.clientY + 16, window.innerHeight - tip.offsetHeight - 8)}px`;
  });
  grid.addEventListener("mouseleave", () => { tip.hidden = true; });
  grid.addEventListener("focus", () => { announce(); draw(); });

  grid.addEventListener("keydown", (event) => {
    const page = Math.max(1, Math.floor((grid.clientHeight - geometry.top) / view.size) - 1);
    const ends = event.ctrlKey || event.metaKey;
    const steps = {
      ArrowUp: () => move(view.vm - 1, view.host), ArrowDown: () => move(view.vm + 1, view.host),
      ArrowLeft: () => move(view.vm, view.host - 1), ArrowRight: () => move(view.vm, view.host + 1),
      PageUp: () => move(view.vm - page, view.host), PageDown: () => move(view.vm + page, view.host),
      Home: () => move(ends ? 0 : view.vm, 0), End: () => move(ends ? view.rows.length - 1 : view.vm, view.columns.length - 1),
      Enter: () => showCell(true), " ": () => showCell(true),
      n: () => next(1), p: () => next(-1),
      "+": () => zoom(view.size + 2), "=": () => zoom(view.size + 2), "-": () => zoom(view.size - 2), 0: fit,
    };
    const plain = !event.altKey && !event.metaKey && (!event.ctrlKey || event.key === "Home" || event.key === "End");
    if (plain && steps[event.key]) { steps[event.key](); event.preventDefault(); }
  });
  document.addEventListener("keydown", (event) => {
    const typing = /INPUT|SELECT|TEXTAREA/.test(event.target.tagName) && event.target.type !== "checkbox";
    if (event.key === "Escape" && !$("help").open) {
      if (event.target.type === "search" && event.target.value) { event.target.value = ""; keep(arrange); return; }
      grid.focus(); return;
    }
    if (typing || event.ctrlKey || event.altKey || event.metaKey) return;
    if (event.key === "/") { $("find-vm").focus(); event.preventDefault(); }
    else if (event.key === "?") $("help").showModal();
    else if (event.key === "c") tab("causes", true);
    else if (event.key === "f") { $("fold").click(); }
  });
  $("help-button").addEventListener("click", () => $("help").showModal());

  const themes = ["system", "light", "dark"];
  $("theme").addEventListener("click", () => {
    const now = document.documentElement.dataset.theme || "system";
    const chosen = themes[(themes.indexOf(now) + 1) % 3];
    if (chosen === "system") delete document.documentElement.dataset.theme; else document.documentElement.dataset.theme = chosen;
    $("theme").querySelector("span").textContent = chosen;
    readColours(); draw();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { readColours(); draw(); });
  new ResizeObserver(() => { if (grid.clientWidth !== geometry.width || grid.clientHeight !== geometry.height) place(); }).observe(grid);

  // -- printing: the whole map as pictures, each as large as a page -------------------------------

  function prepare() {
    const before = document.documentElement.dataset.theme;
    document.documentElement.dataset.theme = "light";
    readColours();
    const size = view.rows.length > 400 || view.columns.length > 120 ? 7 : 13;
    const wide = Math.max(1, Math.floor((1040 - geometry.left) / size)), tall = Math.max(1, Math.floor((1250 - geometry.top) / size));
    const box = $("print");
    box.replaceChildren();
    for (let row = 0; row < view.rows.length && box.childElementCount < 60; row += tall) {
      for (let column = 0; column < view.columns.length && box.childElementCount < 60; column += wide) {
        const picture = document.createElement("canvas");
        const columns = Math.min(wide, view.columns.length - column), rows = Math.min(tall, view.rows.length - row);
        picture.width = 2 * (geometry.left + columns * size + 2);
        picture.height = 2 * (geometry.top + rows * size + 2);
        const g = picture.getContext("2d");
        g.scale(2, 2);
        paint(g, { width: picture.width / 2, height: picture.height / 2, x: column * size, y: row * size, size, left: geometry.left, top: geometry.top, ratio: 2, cursor: false });
        const image = new Image(picture.width / 2, picture.height / 2);
        image.alt = "";
        image.src = picture.toDataURL();
        box.append(image);
      }
    }
    if (before) document.documentElement.dataset.theme = before; else delete document.documentElement.dataset.theme;
    readColours();
  }
  window.addEventListener("beforeprint", prepare);
  window.addEventListener("afterprint", () => { $("print").replaceChildren(); readColours(); draw(); });

  // -- beginning --------------------------------------------------------------------------------

  view.fold = data.fold;
  $("fold").checked = view.fold;
  if (data.order) $("sort-vm").value = data.order;
  readColours();
  settle();
  arrange();
  view.size = view.rows.length * 24 < grid.clientHeight - 150 && view.columns.length * 24 < grid.clientWidth - 200 ? 24 : 18;
  if (view.rows.length * 18 > grid.clientHeight * 3 || view.columns.length * 18 > grid.clientWidth * 2) view.size = 12;
  $("size").value = view.size;
  place();
  const wanted = new URLSearchParams(location.hash.slice(1));
  const vm = vms.names.indexOf(wanted.get("vm")), host = hosts.names.indexOf(wanted.get("host"));
  if (vm >= 0 && host >= 0 && goTo(vm, host)) showCell(false);
  else move(0, 0, false);
  status();
  document.documentElement.dataset.ready = "yes";
})();
