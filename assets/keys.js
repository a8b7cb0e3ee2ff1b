// What the page does beyond Streamlit's own keys: the cursor stands in the prompt, figures pick an
// attempt by its number, of two figures too, the mouse reads what an attempt is, words outlive a
// reload while they are being typed and a server that forgets, and a page that hears nothing any more
// is loaded anew.

// Milliseconds in which a second figure belongs to the first.
const TOGETHER = 800;

// Milliseconds in which a page that loads still waits for its prompt box.
const LOADING = 5000;

let typed = "";
let last = 0;

// What may go on while a key is held down; anything else would decide again and again.
const REPEATED = /^(Arrow|Page|Home|End|Tab|\+|-)/;
const PROMPT = ":is([class*=st-key-prompt-], [class*=st-key-edit-]) textarea";
const BOXES = "input, textarea, [contenteditable]";
// What one writes in; a list has an input of its own.
const WRITTEN_IN = `:is(${BOXES}):not([role=combobox])`;

// A page that has lost its server disables its boxes, and browsers take the focus off them without
// a word; what others decide may take a box away. Until the box is left in another way, what is typed
// on is its text, and decides nothing.
let writing = null;
// Milliseconds without a key after which nobody types on in a box that is gone.
const TYPING = 3000;
let typedAt = 0;
let isLeft = false;
addEventListener("focusin", ({ target }) => {
  if (target.matches(WRITTEN_IN)) {
    writing = target;
    isLeft = false;
  } else if (!writing?.disabled) {
    writing = null;
  }
}, true);
addEventListener("focusout", ({ target, timeStamp }) => {
  typedAt = timeStamp;
  // Or it is being taken away: the next key tells.
  isLeft = !target.disabled;
}, true);
addEventListener("pointerdown", leave, true);

// What was typed in a box is taken as it is left. The browser has taken the focus off one that was
// disabled, without a word.
function leave() {
  if (writing?.disabled) {
    return;
  }
  if (writing?.isConnected && !isLeft && document.activeElement !== writing) {
    writing.focus({ preventScroll: true });
    writing.blur();
  }
  writing = null;
}

// Before anything else hears of it.
addEventListener("keydown", (event) => {
  const { key, repeat, target, ctrlKey, metaKey, altKey, timeStamp } = event;
  if (isLeft && writing?.isConnected) {
    writing = null;
  }
  const typesOn = writing?.isConnected || timeStamp - typedAt < TYPING;
  typedAt = timeStamp;
  const sends = key === "Enter" && (ctrlKey || metaKey);
  // The keys that send a prompt send a form where one types in it: they would do both.
  const form = sends && target.closest?.("[data-testid=stForm]");
  if (form) {
    event.preventDefault();
    event.stopImmediatePropagation();
    target.blur();
    form.querySelector("[data-testid=stFormSubmitButton] button").click();
    return;
  }
  if (/^(Escape|Tab)$/.test(key) || sends) {
    leave();
  } else if (writing && typesOn && target === document.body && !ctrlKey && !metaKey && !altKey) {
    event.stopImmediatePropagation();
    writing.focus();
    return;
  }
  const isBox = target.matches?.(WRITTEN_IN);
  if (repeat && !REPEATED.test(key) && !target.closest?.(BOXES)) {
    event.stopImmediatePropagation();
  } else if (key === "Escape" && isBox && document.querySelector(".st-key-wait")) {
    // Out of a box it leads first, and only then to what Esc does on the page.
    event.stopImmediatePropagation();
    target.blur();
  }
}, true);

function attempts() {
  return [...document.querySelectorAll(".st-key-strip [role=radio]")];
}

document.addEventListener("keydown", (event) => {
  const { key, target, ctrlKey, metaKey, altKey } = event;
  const elsewhere = `${BOXES}, dialog, [role=listbox]`;
  if (!/^\d$/.test(key) || ctrlKey || metaKey || altKey || target.closest(elsewhere)) {
    return;
  }
  const numbers = attempts().map((one) => `${parseInt(one.textContent, 10)}`);
  const begun = event.timeStamp - last < TOGETHER ? typed + key : key;
  typed = numbers.some((number) => number.startsWith(begun)) ? begun : key;
  last = event.timeStamp;
  attempts()[numbers.indexOf(typed)]?.click();
});

document.addEventListener("mouseover", ({ target }) => {
  const one = target.closest?.(".st-key-strip [role=radio]");
  if (one) {
    one.title = document.querySelectorAll(".st-key-strip img")[attempts().indexOf(one)]?.alt ?? "";
  }
});

// Where a finger types, its keyboard would come up and hide the page.
if (matchMedia("(hover: hover)").matches) {
  focusPrompt();
}

async function focusPrompt() {
  while (performance.now() < LOADING && document.activeElement === document.body) {
    document.querySelector("[class*=st-key-prompt-] textarea:enabled")?.focus();
    await new Promise(requestAnimationFrame);
  }
}

// Who removes one by keyboard removes the next from there.
document.addEventListener("click", ({ target, detail }) => {
  const button = target.closest(".st-key-along button");
  if (!button || detail) {
    return;
  }
  const all = () => [...document.querySelectorAll(".st-key-along button")];
  const place = all().indexOf(button);
  // Streamlit shows what it takes off in another place first: that may get the focus, and take it along.
  new MutationObserver((_, looking) => {
    if (button.isConnected) {
      return;
    }
    if (document.activeElement === document.body) {
      (all()[place] ?? all().at(-1) ?? document.querySelector(PROMPT))?.focus();
    }
    if (document.querySelector("[data-test-script-state=notRunning]")) {
      looking.disconnect();
    }
  }).observe(document.body, {
    attributeFilter: ["data-test-script-state"],
    childList: true,
    subtree: true,
  });
});

// What looks like a button is one for the space bar too.
document.addEventListener("keydown", (event) => {
  if (event.key === " " && event.target.matches("a[role=button]")) {
    event.preventDefault();
    event.target.click();
  }
});

// A number that was clicked would take the arrows to a ring of its own, and not to the next picture.
document.addEventListener("click", ({ target, detail }) => {
  const one = target.closest(".st-key-strip [role=radio]");
  if (detail && one) {
    // After Streamlit's own code, which gives it the focus and lets nobody hear of the click.
    setTimeout(() => one.blur());
  }
}, true);

// Where a page is longer than the window: what is waited for is seen, and then what has come.
// And each screen begins at its top, wherever the button was that led there.
let wait = null;
let heading = "";
new MutationObserver(() => {
  const last = heading;
  heading = document.querySelector(".steps h1")?.textContent ?? last;
  if (last && heading !== last) {
    document.querySelector("[data-testid=stMain]").scrollTop = 0;
  }
  const before = wait;
  wait = document.querySelector(".st-key-wait");
  if (!before !== !wait) {
    const place = wait ?? document.querySelector("[class*=st-key-canvas]");
    place?.scrollIntoView({ block: "nearest" });
  }
}).observe(document.body, { childList: true, subtree: true });

// A list that has been chosen from, or left, would take the page's keys for its own.
document.addEventListener("pointerup", ({ target }) => target.closest("[role=option]") && leaveList(), true);
document.addEventListener("keydown", ({ key, target }) => {
  if (/^(Enter|Escape)$/.test(key) && target.matches("[role=combobox][aria-expanded=true]")) {
    leaveList();
  }
}, true);

// At the moment when it closes: the next key may come before the next frame does.
function leaveList() {
  const list = document.activeElement;
  new MutationObserver((_, closing) => {
    if (list.ariaExpanded !== "true") {
      closing.disconnect();
      // Around it, so that Tab goes on from there.
      const around = list.closest(".stSelectbox");
      around.tabIndex = -1;
      around.focus();
    }
  }).observe(list, { attributeFilter: ["aria-expanded"] });
}

// Streamlit takes what is typed once its box is left; a message as the page goes may find nobody.
// Firefox closes all boxes before it hides the page, and a phone may drop a page that is hidden.
addEventListener("beforeunload", keepTyped);
addEventListener("pagehide", keepTyped);
document.addEventListener("visibilitychange", () => {
  if (document.hidden) {
    keepTyped();
  } else {
    delete sessionStorage.typed;
  }
});

function keepTyped() {
  const box = document.activeElement;
  const names = [...(box.closest("[class*=st-key-]")?.classList ?? [])];
  const name = names.find((one) => one.startsWith("st-key-"));
  // Never a key, which is text too while it is shown.
  if (name && box.matches("textarea, input[type=text]:not([autocomplete=off])")) {
    sessionStorage.typed = JSON.stringify([name, box.value, attempt()]);
  }
}

function attempt() {
  return document.querySelector("figure.picture > img")?.dataset.attempt ?? "";
}

giveBack(sessionStorage.typed);

function shown(selector) {
  return new Promise((resolve) => {
    const look = () => {
      const found = document.querySelector(selector);
      if (found) {
        looking.disconnect();
        resolve(found);
      }
    };
    const looking = new MutationObserver(look);
    looking.observe(document.body, { attributeFilter: ["disabled"], childList: true, subtree: true });
    look();
  });
}

async function giveBack(kept) {
  delete sessionStorage.typed;
  if (!kept) {
    return;
  }
  const [name, words, meant] = JSON.parse(kept);
  // However long: it may be behind a tab, which a reload closes.
  const box = await shown(`.${CSS.escape(name)} :is(textarea, input):enabled`);
  // Words about one picture are none about the next.
  if (box.value !== words && attempt() === meant) {
    write(box, words);
  }
}

function write(box, words) {
  box.focus({ preventScroll: true });
  // As if typed: React hears of nothing else.
  Object.getOwnPropertyDescriptor(Object.getPrototypeOf(box), "value").set.call(box, words);
  box.dispatchEvent(new Event("input", { bubbles: true }));
  box.blur();
}

// A server that remembers nothing empties the prompt of a page that has outlived the one before, with
// the click that finds it so. The page alone knows the words still.
// Milliseconds: no event tells of words that the server sets.
const LOOK = 250;
let prompt = "";

document.addEventListener("input", ({ target }) => {
  if (target.matches(PROMPT)) {
    prompt = target.value;
  }
});
document.addEventListener("click", ({ target }) => {
  if (target.closest(".st-key-Start-Over")) {
    prompt = "";
  }
});
setInterval(() => {
  const box = document.querySelector(PROMPT);
  if (box?.value) {
    prompt = box.value;
  } else if (prompt && box && !box.disabled && document.querySelector(".st-key-forgotten")) {
    write(box, prompt);
  }
}, LOOK);

// Streamlit sends what it has for all pages in one round. To a page that comes back in the middle of
// one it may send the answer where that page was before: it would show for ever what it showed then.
const DEAF = 10000;
let deaf = 0;

shown("[data-testid=stApp]").then((app) => {
  const { dataset } = app;
  new MutationObserver((changes) => {
    clearTimeout(deaf);
    const isBack = changes.at(-1).attributeName === "data-test-connection-state";
    if (isBack && dataset.testConnectionState === "CONNECTED" && dataset.testScriptState === "running") {
      deaf = setTimeout(() => location.reload(), DEAF);
    }
  }).observe(app, { attributeFilter: ["data-test-connection-state", "data-test-script-state"] });
  // What is new on the page has been heard, as when the server does not know it any more.
  new MutationObserver(() => clearTimeout(deaf)).observe(
    document.querySelector("[data-testid=stMain]"),
    { childList: true, characterData: true, subtree: true },
  );
});
