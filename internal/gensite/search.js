"use strict";
// Search over all sections: every word must be in a section or its titles; titles count most. Without this script the
// contents at the left, and the browser's own search, do all of it.
(() => {
  const root = document.documentElement.dataset.root;
  const field = document.getElementById("query");
  const found = document.getElementById("found");
  const article = document.querySelector("article");
  let index;

  const load = () => index ? Promise.resolve() : new Promise((done, failed) => {
    const s = document.createElement("script");
    s.src = root + "index.js";
    s.onload = () => { index = window.manual; done(); };
    s.onerror = failed;
    document.head.append(s);
  });

  const score = (section, words) => {
    let sum = 0;
    for (const w of words) {
      const title = section.t.toLowerCase(), page = section.p.toLowerCase(), text = section.x.toLowerCase();
      const points = (title.includes(w) ? 8 : 0) + (page.includes(w) ? 4 : 0) + (text.includes(w) ? 1 : 0);
      if (!points) return 0;
      sum += points + (title.split(/[^\p{L}\d]+/u).includes(w) ? 4 : 0);
    }
    return sum;
  };

  // excerpt gives the text around the first word that is in it, with all of them marked.
  const excerpt = (text, words) => {
    const low = text.toLowerCase();
    const at = Math.max(0, Math.min(...words.map(w => low.indexOf(w)).filter(i => i >= 0), text.length) - 60);
    const part = (at ? "…" : "") + text.slice(at, at + 220) + (at + 220 < text.length ? "…" : "");
    const p = document.createElement("p");
    const any = new RegExp("(" + words.map(w => w.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")).join("|") + ")", "i");
    for (const piece of part.split(any)) {
      if (!piece) continue;
      const node = words.includes(piece.toLowerCase()) ? document.createElement("mark") : document.createElement("span");
      node.textContent = piece;
      p.append(node);
    }
    return p;
  };

  const show = () => {
    const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
    found.hidden = !words.length;
    article.hidden = !!words.length;
    if (!words.length) return;
    const hits = index.map(s => [score(s, words), s]).filter(h => h[0]).sort((a, b) => b[0] - a[0]);
    const head = document.createElement("h1");
    head.textContent = hits.length ? `${hits.length} ${hits.length === 1 ? "section" : "sections"} with “${field.value.trim()}”` : `Nothing has “${field.value.trim()}”`;
    const list = document.createElement("ul");
    for (const [, s] of hits.slice(0, 40)) {
      const a = document.createElement("a");
      a.href = root + s.a;
      a.textContent = s.t === s.p ? s.p : s.p + ": " + s.t;
      a.onclick = () => { field.value = ""; show(); };
      const li = document.createElement("li");
      li.append(a, excerpt(s.x, words));
      list.append(li);
    }
    found.replaceChildren(head, list);
  };

  field.disabled = false;
  field.oninput = () => load().then(show, () => { found.hidden = false; found.textContent = "The index cannot be read."; });
  field.value = new URLSearchParams(location.search).get("q") || "";
  if (field.value) field.oninput();
  addEventListener("keydown", e => {
    if (e.key === "/" && document.activeElement !== field && !e.ctrlKey && !e.metaKey) { e.preventDefault(); field.focus(); }
    if (e.key === "Escape" && document.activeElement === field) { field.value = ""; field.blur(); show(); }
  });
})();
