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
    const back = Number(one.parentElement.dataset.back || 0);
    mark(chip, back ? index.loads : index[one.parentElement.dataset.state], 0, 0, 18);
    corner(chip, back, 0, 0, 18);
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
// The way back is a corner of its own: a hook comes back, a filled one does not, an empty one is not known.
function corner(g, back, x, y, size) {
  if (!back) return;
  const far = size * 0.5;
  g.beginPath();
  if (back === 1) {
    g.strokeStyle = colours.accent; g.lineWidth = Math.max(1, size / 10);
    g.moveTo(x + size * 0.34, y + size * 0.92); g.lineTo(x + size * 0.08, y + size * 0.92); g.lineTo(x + size * 0.08, y + size * 0.66); g.stroke();
    return;
  }
  g.moveTo(x, y + size - far); g.lineTo(x, y + size); g.lineTo(x + far, y + size); g.closePath();
  if (back === 2) { g.fillStyle = colours.fill[index.refused]; g.fill(); return; }
  g.fillStyle = colours.page; g.fill();
  g.strokeStyle = colours.ink[index.unknown]; g.lineWidth = Math.max(1, size / 14); g.stroke();
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
function tile(state, back, dim, size, ratio) {
  const key = `${state} ${back} ${dim} ${size} ${ratio}`;
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
      corner(w, back, 0, 0, size);
      g.drawImage(whole, 0, 0);
      g.restore();
    });
    sprites.set(key, found);
  }
  return found;
}
// For cells too small for a mark: hatching that runs over neighbours.
function hatch(state, back, dim) {
  const key = `hatch ${state} ${back > 1 ? back : 0} ${dim}`;
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
      g.globalAlpha = dim ? 0.13 : 1;
      if (back > 1) corner(g, back, 0, 0, 8);
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
        const texture = hatch(effective[which], answers[which].w || 0, dim);
        for (let py = from; py < to; py++) for (let px = start, at_ = py * wide + start; px < end; px++) out[at_++] = texture[((py & 7) << 3) | (px & 7)];
      } else {
        const texture = tile(effective[which], answers[which].w || 0, dim, size - 1, ratio);
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
