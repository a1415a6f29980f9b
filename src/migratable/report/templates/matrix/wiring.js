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
  const back = Number(chip.dataset.back || 0);
  const [chosen, which] = back ? [view.backs, back] : [view.states, index[chip.dataset.state]];
  if (chosen.has(which)) chosen.delete(which); else chosen.add(which);
  chip.setAttribute("aria-pressed", chosen.has(which));
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
    view.states.clear(); view.backs.clear(); view.cause = view.same = -1;
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
