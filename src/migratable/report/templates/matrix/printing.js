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
