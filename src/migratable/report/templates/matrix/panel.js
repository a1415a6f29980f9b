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
  if (one.severity === "latent" && !one.hints.length) block.append(make("p", { class: "fix" }, "The guest loads now. Check it again with a new capture right before the migration, or use a destination that knows this part."));
  for (const hint of one.hints) {
    const tried = hint.verified ? `, tried (${hint.verified})` : "";
    const back = hint.comes_back ? ", comes back" : hint.comes_back === false ? `, does not come back: ${hint.way_back}` : hint.way_back ? `, way back not known: ${hint.way_back}` : "";
    const again = back + (hint.needs_guest_restart ? ", needs a restart of the guest" : "") + (hint.changes ? `; ${hint.changes}` : "");
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
  if (answer.w) {
    const back = data.backs[answer.w - 1], why = typeof answer.y === "number" ? `: ${data.strings[answer.y]}` : "";
    box.append(make("p", { class: `way-back ${back.name}` }, make("b", {}, "Way back "), `${back.short}${why || `: ${back.long}`}`));
  }
  if (answer.r) {
    box.append(make("p", { class: "soft" }, "QEMU will print"), make("pre", {}, (answer.e.length ? answer.e.map((at_) => data.strings[at_]) : [answer.r.message]).join("\n") || "nothing"));
  } else if (answer.e.length) box.append(make("p", { class: "soft" }, "QEMU will print"), make("pre", {}, answer.e.map((at_) => data.strings[at_]).join("\n")));
  for (const which of answer.f) box.append(findingBlock(data.findings[which]));
  if (!answer.f.length && answer.s === index.loads) box.append(make("p", {}, "No findings."));
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
