// Look at every unit: colour the text by the one that is chosen, and find units by name, property or text.
for (const root of document.querySelectorAll(".units .browse")) {
  const data = JSON.parse(root.querySelector("script").textContent);
  const bytes = Uint8Array.from(atob(data.values), c => c.charCodeAt(0));
  const pre = root.querySelector("pre"), list = root.querySelector("select"), said = root.querySelector(".said");
  const [names, find] = root.querySelectorAll("input");
  const text = pre.textContent, n = data.length, middle = 127;
  const places = [];  // a character of two UTF-16 units is one place
  pre.textContent = "";
  for (const c of text) {
    const place = document.createElement("i");
    place.textContent = c;
    places.push(place);
  }
  pre.append(...places);
  const row = u => bytes.subarray(u * n, (u + 1) * n);
  const level = v => { const l = Math.round((v - middle) / middle * 6); return l > 0 ? "p" + l : l < 0 ? "n" + -l : ""; };
  let marked = new Set();

  function paint() {
    if (list.selectedIndex < 0) return;
    const u = +list.value, values = row(u), best = data.best[u];
    places.forEach((place, t) => { place.className = level(values[t]) + (marked.has(t) ? " found" : ""); });
    said.textContent = data.names[u] + (best ? ": " + best : ": no readable property");
  }

  // How far the unit stands out at the marked places: the difference of means, in standard deviations.
  function contrast(u) {
    const values = row(u);
    let sum = 0, squares = 0, inside = 0;
    for (let t = 0; t < n; t++) { sum += values[t]; squares += values[t] ** 2; if (marked.has(t)) inside += values[t]; }
    const spread = Math.sqrt(Math.max(squares / n - (sum / n) ** 2, 1e-9));
    return (inside / marked.size - sum / n) / spread;
  }

  function fill() {
    const words = names.value.toLowerCase().split(/\s+/).filter(Boolean);
    let found = data.order.filter(u => words.every(word => (data.names[u] + " " + (data.best[u] || "")).toLowerCase().includes(word)));
    let score = null;
    if (marked.size) {
      score = new Map(found.map(u => [u, contrast(u)]));
      found.sort((a, b) => Math.abs(score.get(b)) - Math.abs(score.get(a)));
    }
    const before = list.value;
    list.replaceChildren(...found.map(u => {
      const option = document.createElement("option");
      option.value = u;
      const more = score ? (score.get(u) > 0 ? "+" : "−") + Math.abs(score.get(u)).toFixed(1) + " sd" : data.best[u] || "";
      option.textContent = data.names[u].padEnd(data.width + 2, "\u00a0") + more;
      return option;
    }));
    list.value = before;
    if (score || list.selectedIndex < 0) list.selectedIndex = found.length ? 0 : -1;
    if (found.length) paint();
    else said.textContent = "No unit or property has that in its name.";
  }

  function search() {
    marked = new Set();
    const wanted = [...find.value], all = places.map(place => place.textContent);
    for (let t = 0; wanted.length && t + wanted.length <= n; t++)
      if (wanted.every((c, j) => all[t + j] === c)) wanted.forEach((_, j) => marked.add(t + j));
    fill();
    if (wanted.length && !marked.size) said.textContent = "That does not occur in the text below.";
  }

  function selected() {
    const range = getSelection();
    if (range.isCollapsed || !pre.contains(range.anchorNode) || !pre.contains(range.focusNode)) return;
    marked = new Set(places.flatMap((place, t) => range.containsNode(place, true) ? [t] : []));
    range.removeAllRanges();
    find.value = "";
    fill();
  }

  list.addEventListener("change", paint);
  names.addEventListener("input", fill);
  find.addEventListener("input", search);
  pre.addEventListener("mouseup", selected);
  root.hidden = false;
  fill();
}
