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
