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
