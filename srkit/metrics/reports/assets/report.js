"use strict";
// The tables are whole without this script; it adds sorting, the viewer and the choice of colours.
(() => {
  const LABELS = { lr: "LR bicubic", before: "SR before", sr: "SR", hr: "HR" };
  const PAIRS = [["before", "sr"], ["lr", "sr"], ["sr", "hr"], ["before", "hr"], ["lr", "hr"]];
  const MAX_SCALE = 40; // screen pixels an image pixel
  const WIPE_STEP = 0.02;
  const PAN_STEP = 40; // screen pixels
  const ZOOM_STEP = 1.25;
  const byId = (id) => document.getElementById(id);
  const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

  // ---- colours

  const theme = byId("theme");
  const prefersDark = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (document.documentElement.dataset.theme || (prefersDark.matches ? "dark" : "light")) === "dark";
  const nameTheme = () => { theme.textContent = isDark() ? "Light" : "Dark"; };
  theme.hidden = false;
  theme.addEventListener("click", () => {
    document.documentElement.dataset.theme = isDark() ? "light" : "dark";
    nameTheme();
  });
  prefersDark.addEventListener("change", nameTheme);
  nameTheme();

  // ---- sorting

  const text = new Intl.Collator(undefined, { numeric: true });
  for (const button of document.querySelectorAll("table.images thead button")) {
    button.addEventListener("click", () => sortBy(button.closest("th")));
  }

  function sortBy(head) {
    const table = head.closest("table");
    const column = head.cellIndex;
    // First the worst, or for names the first; again turns it round.
    const first = head.dataset.worst === "high" ? "descending" : "ascending";
    const other = first === "ascending" ? "descending" : "ascending";
    const order = head.getAttribute("aria-sort") === first ? other : first;
    for (const each of table.tHead.rows[0].cells) each.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", order);
    const sign = order === "ascending" ? 1 : -1;
    const worstSign = order === first ? 1 : -1;
    const compare = (a, b) => {
      const [x, y] = [a.cells[column].dataset.value, b.cells[column].dataset.value];
      if (!head.dataset.worst) return sign * text.compare(x, y);
      const [u, v] = [Number(x), Number(y)]; // not a number is worst
      if (Number.isNaN(u) || Number.isNaN(v)) return worstSign * (Number.isNaN(v) - Number.isNaN(u));
      return u === v ? 0 : sign * (u - v);
    };
    table.tBodies[0].append(...[...table.tBodies[0].rows].sort(compare));
  }

  // ---- viewer

  const viewer = byId("viewer");
  const stage = byId("stage");
  // Centre in shares of the image and zoom over the fitting size: these stay the same in every view and from
  // image to image, so that the same place is seen in all of them.
  const state = { row: null, mode: "", wipe: 0.5, zoom: 1, x: 0.5, y: 0.5 };
  let modes = [];
  let panes = [];

  for (const button of document.querySelectorAll("button.open")) {
    button.addEventListener("click", () => {
      show(button.closest("tr"));
      viewer.showModal();
      render();
      (stage.querySelector(".handle") || stage.querySelector(".pane")).focus();
    });
  }
  viewer.addEventListener("close", () => state.row.querySelector("button.open").focus());
  byId("close").addEventListener("click", () => viewer.close());
  byId("previous").addEventListener("click", () => step(-1));
  byId("next").addEventListener("click", () => step(1));
  byId("whole").addEventListener("change", () => build());
  byId("zoom-in").addEventListener("click", () => zoomBy(ZOOM_STEP));
  byId("zoom-out").addEventListener("click", () => zoomBy(1 / ZOOM_STEP));
  byId("zoom-fit").addEventListener("click", fit);
  new ResizeObserver(() => render()).observe(stage);

  function shownRows() {
    return [...state.row.parentElement.rows].filter((row) => row.querySelector("button.open"));
  }

  function step(by) {
    const rows = shownRows();
    const next = rows[rows.indexOf(state.row) + by];
    if (next) show(next);
  }

  function show(row) {
    state.row = row;
    const rows = shownRows();
    const place = rows.indexOf(row);
    byId("viewer-name").textContent = row.querySelector("th bdi").textContent;
    byId("viewer-place").textContent = `${place + 1} of ${rows.length}`;
    byId("viewer-values").textContent = [...row.querySelectorAll("td.number")]
      .map((cell) => `${cell.dataset.label} ${cell.querySelector(".value").textContent}`).join(" \u00b7 ");
    byId("previous").disabled = place === 0;
    byId("next").disabled = place === rows.length - 1;
    byId("whole-label").hidden = !row.querySelector("template");
    build();
  }

  function sources() {
    const template = state.row.querySelector("template");
    const whole = template && byId("whole").checked;
    const images = (whole ? template.content : state.row).querySelectorAll("img[data-view]");
    return new Map([...images].map((image) => [image.dataset.view, image.src]));
  }

  function modesOf(views) {
    const pairs = PAIRS.filter((pair) => pair.every((v) => views.includes(v)));
    if (!pairs.length) return views.map((view) => ({ id: view, label: LABELS[view], panes: [[view]] }));
    return [
      ...pairs.map((pair) => ({ id: pair.join("-"), label: pair.map((v) => v.toUpperCase()).join(" | "), panes: [pair] })),
      { id: "side", label: "Side by side", panes: views.map((view) => [view]) },
    ];
  }

  function build() {
    const images = sources();
    modes = modesOf([...images.keys()]);
    if (!modes.some((mode) => mode.id === state.mode)) state.mode = modes[0].id;
    buildModes();
    const focused = stage.contains(document.activeElement);
    const mode = modes.find((one) => one.id === state.mode);
    panes = mode.panes.map((views) => buildPane(views, images));
    stage.replaceChildren(...panes.map((pane) => pane.element));
    if (focused) (panes[0].handle || panes[0].element).focus();
    render();
  }

  function buildModes() {
    const field = byId("modes");
    const known = [...field.querySelectorAll("input")].map((input) => input.value).join();
    if (known !== modes.map((mode) => mode.id).join()) {
      for (const label of field.querySelectorAll("label")) label.remove();
      for (const mode of modes) {
        const input = element("input", { type: "radio", name: "mode", value: mode.id });
        input.addEventListener("change", () => choose(mode.id));
        const label = element("label", {}, input, element("span", {}, mode.label));
        field.append(label);
      }
    }
    for (const input of field.querySelectorAll("input")) input.checked = input.value === state.mode;
    field.hidden = modes.length < 2;
  }

  function choose(id) {
    state.mode = id;
    build();
  }

  function buildPane(views, images) {
    const pane = { views, layers: [], images: [], handle: null };
    for (const view of views) {
      const image = element("img", { src: images.get(view), alt: LABELS[view], draggable: "false" });
      image.addEventListener("load", render);
      pane.images.push(image);
      pane.layers.push(element("div", { class: "layer" }, image));
    }
    const tags = views.map((view, i) => element("span", { class: i ? "tag right" : "tag left" }, LABELS[view]));
    const split = views.length > 1;
    pane.element = element("div", { class: split ? "pane split" : "pane", tabindex: "-1" }, ...pane.layers, ...tags);
    if (split) {
      pane.handle = element("div", {
        class: "handle", role: "slider", tabindex: "0", "aria-label": "Divider", "aria-valuemin": "0", "aria-valuemax": "100",
      });
      pane.element.append(pane.handle);
    }
    return pane;
  }

  function element(name, attributes, ...children) {
    const made = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    made.append(...children);
    return made;
  }

  // How a pane shows its image: its size and the image's, screen pixels an image pixel, and the centre. The state
  // itself is only changed by the reader: what a small image cannot show is not forgotten for the next one.
  function view(pane) {
    const [width, height] = [pane.element.clientWidth, pane.element.clientHeight];
    const image = pane.images[0];
    let fitting = Math.min(width / image.naturalWidth, height / image.naturalHeight);
    if (fitting >= 2) fitting = Math.floor(fitting); // whole pixels look even
    const zoom = clamp(state.zoom, Math.min(1, 1 / fitting), Math.max(1, MAX_SCALE / fitting));
    const scale = fitting * zoom;
    const [across, down] = [image.naturalWidth * scale, image.naturalHeight * scale];
    return { width, height, across, down, zoom, scale, x: centre(state.x, across, width), y: centre(state.y, down, height) };
  }

  function centre(share, size, room) {
    return size <= room ? 0.5 : clamp(share, room / 2 / size, 1 - room / 2 / size);
  }

  function render() {
    if (!viewer.open || !panes.every((pane) => pane.images[0].naturalWidth)) return;
    for (const pane of panes) renderPane(pane);
    byId("zoom-value").textContent = `${Math.round(100 * view(panes[0]).scale)} %`;
  }

  function renderPane(pane) {
    const { width, height, across, down, scale, x, y } = view(pane);
    for (const image of pane.images) {
      image.style.width = `${across}px`;
      image.style.height = `${down}px`;
      image.style.left = `${width / 2 - x * across}px`;
      image.style.top = `${height / 2 - y * down}px`;
      image.style.imageRendering = scale * devicePixelRatio >= 1 ? "pixelated" : "auto";
    }
    pane.element.classList.toggle("movable", across > width + 1 || down > height + 1);
    if (!pane.handle) return;
    const percent = Math.round(100 * state.wipe);
    const [left, right] = pane.views.map((name) => LABELS[name]);
    pane.layers[1].style.clipPath = `inset(0 0 0 ${100 * state.wipe}%)`;
    pane.handle.style.left = `${100 * state.wipe}%`;
    pane.handle.setAttribute("aria-valuenow", percent);
    pane.handle.setAttribute("aria-valuetext", `${percent} % ${left}, ${100 - percent} % ${right}`);
  }

  function fit() {
    Object.assign(state, { zoom: 1, x: 0.5, y: 0.5 });
    render();
  }

  // Zoom so that what lies at (px, py), measured from the pane's middle, stays there.
  function zoomBy(factor, pane = panes[0], px = 0, py = 0) {
    const before = view(pane);
    state.zoom = before.zoom * factor;
    const after = view(pane);
    state.zoom = after.zoom;
    state.x = centre(before.x + px / before.across - px / after.across, after.across, after.width);
    state.y = centre(before.y + py / before.down - py / after.down, after.down, after.height);
    render();
  }

  function panBy(dx, dy, pane = panes[0]) {
    const { width, height, across, down, x, y } = view(pane);
    state.x = centre(x - dx / across, across, width);
    state.y = centre(y - dy / down, down, height);
    render();
  }

  function wipeTo(share) {
    state.wipe = clamp(share, 0, 1);
    render();
  }

  // ---- pointers: drag the divider, pan, pinch, wheel

  const pointers = new Map();
  let dragging = "";

  const paneAt = (target) => panes.find((pane) => pane.element.contains(target));
  const fromMiddle = (pane, x, y) => {
    const box = pane.element.getBoundingClientRect();
    return [x - box.left - box.width / 2, y - box.top - box.height / 2];
  };

  stage.addEventListener("pointerdown", (event) => {
    const pane = paneAt(event.target);
    if (!pane || event.button) return;
    event.preventDefault();
    (pane.handle || pane.element).focus();
    stage.setPointerCapture(event.pointerId);
    pointers.set(event.pointerId, { pane, x: event.clientX, y: event.clientY });
    // An image that is seen whole cannot be moved, so there a drag anywhere takes the divider.
    const split = pane.handle && (event.target === pane.handle || !pane.element.classList.contains("movable"));
    dragging = pointers.size > 1 ? "pinch" : split ? "wipe" : "pan";
    if (dragging === "wipe") follow(pane, event.clientX);
  });
  stage.addEventListener("pointermove", (event) => {
    const last = pointers.get(event.pointerId);
    if (!last) return;
    const { pane } = last;
    const [dx, dy] = [event.clientX - last.x, event.clientY - last.y];
    if (dragging === "wipe") {
      follow(pane, event.clientX);
    } else if (dragging === "pan") {
      panBy(dx, dy, pane);
    } else if (pointers.size === 2) {
      const other = [...pointers.values()].find((pointer) => pointer !== last);
      const distance = (x, y) => Math.max(1, Math.hypot(x - other.x, y - other.y));
      const middle = fromMiddle(pane, (event.clientX + other.x) / 2, (event.clientY + other.y) / 2);
      zoomBy(distance(event.clientX, event.clientY) / distance(last.x, last.y), pane, ...middle);
      panBy(dx / 2, dy / 2, pane);
    }
    Object.assign(last, { x: event.clientX, y: event.clientY });
  });
  for (const name of ["pointerup", "pointercancel"]) {
    stage.addEventListener(name, (event) => {
      pointers.delete(event.pointerId);
      dragging = pointers.size ? "pan" : "";
    });
  }
  stage.addEventListener("wheel", (event) => {
    const pane = paneAt(event.target);
    if (!pane) return;
    event.preventDefault();
    const pixels = event.deltaY * (event.deltaMode ? 30 : 1);
    zoomBy(Math.exp(clamp(-pixels, -300, 300) * 0.002), pane, ...fromMiddle(pane, event.clientX, event.clientY));
  }, { passive: false });

  function follow(pane, x) {
    const box = pane.element.getBoundingClientRect();
    wipeTo((x - box.left) / box.width);
  }

  // ---- keys

  const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  viewer.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.matches("input") && event.key in ARROWS) return; // they choose among the radio buttons
    const arrow = ARROWS[event.key];
    if (arrow && event.shiftKey) panBy(-PAN_STEP * arrow[0], -PAN_STEP * arrow[1]);
    else if (arrow && panes[0].handle) wipeTo(state.wipe + WIPE_STEP * (arrow[0] || -arrow[1]));
    else if (arrow) panBy(-PAN_STEP * arrow[0], -PAN_STEP * arrow[1]);
    else if (event.key === "Home" && panes[0].handle) wipeTo(0);
    else if (event.key === "End" && panes[0].handle) wipeTo(1);
    else if (event.key === "+" || event.key === "=") zoomBy(ZOOM_STEP);
    else if (event.key === "-") zoomBy(1 / ZOOM_STEP);
    else if (event.key === "0") fit();
    else if (/^[1-9]$/.test(event.key) && modes[event.key - 1]) choose(modes[event.key - 1].id);
    else if (event.key === "n" || event.key === "PageDown") step(1);
    else if (event.key === "p" || event.key === "PageUp") step(-1);
    else return;
    event.preventDefault();
  });
})();
