"use strict";
// Threshold slider and gallery of a page. Without it the page shows everything but the slider.
(() => {
  const byId = (id) => document.getElementById(id);

  function setUpThreshold() {
    const data = JSON.parse(byId("cuts").textContent);
    const slider = byId("cut");
    const svg = byId("cut-plot");
    const ratio = (above, below) => (below > 0 ? above / below : NaN);
    const number = (value, digits) => (Number.isNaN(value) ? "–" : value.toFixed(digits));
    const scores = ([, tp, fp]) => ({
      precision: ratio(tp, tp + fp),
      recall: ratio(tp, data.lenses),
      f1: ratio(2 * tp, tp + fp + data.lenses),
      fpr: ratio(fp, data.others),
    });
    const [left, right, top, bottom] = [38, 590, 26, 160];
    const logits = data.cuts.map((cut) => cut[0]);
    const [high, low] = [logits[0], logits[logits.length - 1]];
    const x = (logit) => left + ((right - left) * (logit - low)) / Math.max(high - low, 1e-9);
    const y = (share) => bottom - (bottom - top) * share;

    function element(name, attributes, text) {
      const made = document.createElementNS("http://www.w3.org/2000/svg", name);
      for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
      if (text !== undefined) made.textContent = text;
      svg.append(made);
      return made;
    }

    function drawCurves() {
      for (const share of [0, 0.5, 1]) {
        element("line", { x1: left, x2: right, y1: y(share), y2: y(share), stroke: "#ddd" });
        element("text", { x: left - 6, y: y(share) + 4, "text-anchor": "end", "font-size": 12, fill: "#444" }, share);
      }
      const step = [0.5, 1, 2, 5, 10, 20, 50].find((size) => (high - low) / size <= 12) || 100;
      for (let tick = Math.ceil(low / step) * step; tick <= high; tick += step) {
        element("text", { x: x(tick), y: bottom + 16, "text-anchor": "middle", "font-size": 12, fill: "#444" }, tick);
      }
      element("text", { x: (left + right) / 2, y: 192, "text-anchor": "middle", "font-size": 12, fill: "#444" }, "threshold (logit)");
      [["precision", "#0072B2"], ["recall", "#D55E00"], ["f1", "#009E73"]].forEach(([name, colour], place) => {
        const points = data.cuts.map((cut) => `${x(cut[0]).toFixed(1)},${y(scores(cut)[name] || 0).toFixed(1)}`);
        element("polyline", { points: points.join(" "), fill: "none", stroke: colour, "stroke-width": 2 });
        const label = name === "f1" ? "F1" : name;
        element("text", { x: left + 10 + 90 * place, y: 16, "font-size": 13, "font-weight": 600, fill: colour }, label);
      });
    }

    function show() {
      const cut = data.cuts[Number(slider.value)];
      const [logit, tp, fp] = cut;
      const got = scores(cut);
      const counts = { tp, fp, fn: data.lenses - tp, tn: data.others - fp };
      for (const [name, count] of Object.entries(counts)) byId(`cut-${name}`).textContent = count.toLocaleString("en");
      byId("cut-logit").textContent = logit.toFixed(3).replace("-", "−");
      byId("cut-p").textContent = (1 / (1 + Math.exp(-logit))).toFixed(4);
      for (const name of ["precision", "recall", "f1"]) byId(`cut-${name}`).textContent = number(got[name], 4);
      byId("cut-fpr").textContent = number(got.fpr, 5);
      line.setAttribute("x1", x(logit));
      line.setAttribute("x2", x(logit));
    }

    function preset(button) {
      if (button.dataset.place) return Number(button.dataset.place);
      const limit = button.dataset.false;
      const passes = limit !== undefined ? (cut) => cut[2] <= Number(limit) : (cut) => cut[0] >= Number(button.dataset.logit);
      return Math.max(0, data.cuts.filter(passes).length - 1);
    }

    drawCurves();
    const line = element("line", { y1: top, y2: bottom, stroke: "#222", "stroke-width": 1.5, "stroke-dasharray": "4 3" });
    slider.addEventListener("input", show);
    for (const button of byId("presets").children) {
      button.addEventListener("click", () => {
        slider.value = preset(button);
        show();
      });
    }
    show();
  }

  function setUpGallery() {
    const gallery = byId("gallery");
    const run = gallery.dataset.run;
    const cards = [...gallery.querySelectorAll(".card")];
    const filter = byId("filter");
    const dialog = byId("large");
    // a page's own key: pages on the disk of one computer share one storage
    const key = `lensfold-marks ${location.pathname}`;
    let current = null;
    let marks = readMarks();

    function readMarks() {
      try {
        return JSON.parse(localStorage.getItem(key)) || {};
      } catch {
        return {};
      }
    }

    function keepMarks() {
      try {
        localStorage.setItem(key, JSON.stringify(marks));
      } catch {
        byId("shown").textContent = "This browser keeps no marks for files: export them before you leave.";
      }
    }

    const name = (card) => `${card.dataset.list}|${card.dataset.id}`;
    const columns = gallery.dataset.exported.split(",").filter(Boolean);
    const factsOf = (card) => columns.map((column) => card.dataset[column]);
    const visible = () => cards.filter((card) => !card.hidden);

    const markOf = (card) => (marks[name(card)] && marks[name(card)].mark) || "";

    function showMark(card) {
      const mark = markOf(card);
      card.classList.toggle("marked", Boolean(mark));
      card.dataset.mark = mark;
      if (card !== current) return;
      for (const button of dialog.querySelectorAll("[data-mark]")) {
        button.setAttribute("aria-pressed", String(Boolean(mark) && button.dataset.mark === mark));
      }
      byId("note").value = (marks[name(card)] && marks[name(card)].note) || "";
    }

    function keep(card, mark, note) {
      if (mark || note) marks[name(card)] = { mark, note, pixels: card.dataset.pixels, facts: factsOf(card) };
      else delete marks[name(card)];
      keepMarks();
    }

    // in the large view a mark moves on to the next object: whoever looks through hundreds presses one key for each
    function setMark(mark) {
      if (!current) return;
      keep(current, mark, (marks[name(current)] && marks[name(current)].note) || "");
      showMark(current);
      const shown = visible();
      const last = shown.indexOf(current) === shown.length - 1;
      if (dialog.open && mark && !last) step(1);
      if (!dialog.open) applyFilter();
    }

    function setNote(card, note) {
      keep(card, markOf(card), note);
    }

    function applyFilter() {
      const wanted = [...filter.querySelectorAll("select:not([name=marked])")].map((choice) => [choice.name, choice.value]);
      for (const card of cards) {
        const fits = wanted.every(([field, value]) => !value || card.dataset[field] === value);
        const marked = filter.elements.marked.value;
        card.hidden = !fits || (marked && (marked === "yes") !== Boolean(markOf(card)));
      }
      for (const list of gallery.querySelectorAll(".list")) {
        list.hidden = Boolean(list.querySelector(".card")) && !list.querySelector(".card:not([hidden])");
      }
      byId("shown").textContent = `${visible().length} of ${cards.length} shown`;
    }

    function select(card) {
      if (current) current.classList.remove("current");
      current = card;
      current.classList.add("current");
    }

    function open(card) {
      select(card);
      const frame = card.querySelector(".frame").cloneNode(true);
      for (const image of frame.querySelectorAll("img")) image.loading = "eager";
      byId("large-frame").replaceChildren(frame);
      byId("large-caption").replaceChildren(...[...card.querySelector("figcaption").cloneNode(true).childNodes]);
      const overlay = [];
      if (card.dataset.overlay) {
        overlay[0] = document.createElement("img");
        overlay[0].src = card.dataset.overlay;
        overlay[0].alt = `what the network looks at in object ${card.dataset.id}`;
      }
      byId("large-overlay").replaceChildren(...overlay);
      const shown = visible();
      const title = card.closest(".list").querySelector("h3").firstChild.textContent.trim();
      byId("place").textContent = `${title} · ${shown.indexOf(card) + 1} of ${shown.length}`;
      showMark(card);
      if (!dialog.open) dialog.showModal();
      dialog.scrollTop = 0;
    }

    function step(by) {
      const shown = visible();
      if (!shown.length) return;
      const place = shown.indexOf(current);
      if (place >= 0) open(shown[dialog.open ? (place + by + shown.length) % shown.length : place]);
      else open(shown.find((card) => card.getBoundingClientRect().bottom > 60) || shown[0]);
    }

    function toggleStretch() {
      const faint = gallery.classList.toggle("faint");
      byId("stretch").textContent = faint ? "normal stretch" : "faint stretch";
      byId("large-stretch").textContent = faint ? "normal stretch" : "faint stretch";
    }

    const quoted = (text) => (/[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);

    function exportMarks() {
      const rows = Object.entries(marks).map(([place, mark]) => {
        const [list, id] = place.split("|");
        const card = cards.find((one) => name(one) === place);
        const facts = card ? factsOf(card) : mark.facts || []; // it may have left the page since
        return [id, list, mark.mark, mark.note, mark.pixels, ...facts].map(quoted).join(",");
      });
      const head = ["ID", "list", "mark", "note", "pixels", ...columns].join(",");
      const file = new Blob([[head, ...rows].join("\n") + "\n"], { type: "text/csv" });
      const link = document.createElement("a");
      link.href = URL.createObjectURL(file);
      link.download = `marks-${run}.csv`;
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 10000);
      byId("shown").textContent = `${rows.length} marks exported`;
    }

    const keys = {
      ArrowLeft: () => step(-1),
      ArrowRight: () => step(1),
      f: () => {
        if (dialog.open) dialog.close();
        filter.scrollIntoView({ block: "center" });
        filter.querySelector("select, input").focus();
      },
      s: toggleStretch,
      l: () => setMark("lens"),
      a: () => setMark("A"),
      b: () => setMark("B"),
      c: () => setMark("C"),
      x: () => setMark("not a lens"),
      u: () => setMark("unsure"),
      0: () => setMark(""),
      n: () => dialog.open && byId("note").focus(),
      e: exportMarks,
    };
    document.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input, select, textarea")) return;
      if (event.key === "Enter" && event.target.matches(".card")) open(event.target);
      else if (keys[event.key]) keys[event.key]();
      else return;
      event.preventDefault();
    });
    byId("note").addEventListener("keydown", (event) => event.key === "Enter" && event.target.blur());
    byId("note").addEventListener("input", (event) => setNote(current, event.target.value));
    for (const card of cards) {
      card.addEventListener("click", () => open(card));
      card.addEventListener("focus", () => select(card));
      showMark(card);
    }
    dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
    dialog.addEventListener("close", () => {
      applyFilter();
      if (current && !current.hidden) current.scrollIntoView({ block: "nearest" });
    });
    filter.addEventListener("change", applyFilter);
    filter.addEventListener("submit", (event) => event.preventDefault());
    byId("stretch").addEventListener("click", toggleStretch);
    byId("large-stretch").addEventListener("click", toggleStretch);
    byId("export").addEventListener("click", exportMarks);
    byId("before").addEventListener("click", () => step(-1));
    byId("after").addEventListener("click", () => step(1));
    byId("close").addEventListener("click", () => dialog.close());
    for (const button of dialog.querySelectorAll("[data-mark]")) {
      button.addEventListener("click", () => setMark(button.dataset.mark));
    }
    applyFilter();
  }

  if (byId("cuts")) setUpThreshold();
  setUpGallery();
})();
