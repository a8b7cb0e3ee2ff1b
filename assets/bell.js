// Tells a person who looks elsewhere that it is their turn, if they have asked for it: a browser's
// notification, without the prompt in it, when the page's title says that it no longer works.

const KEPT_AS = "bell";
const WORKING = "Working";

const works = isSecureContext && "Notification" in window && canTell();
let worked = isWorking();

new MutationObserver(() => {
  if (worked && !isWorking() && document.hidden && isOn()) {
    const told = new Notification("It is your turn", { body: document.title, tag: KEPT_AS });
    told.onclick = () => window.focus();
  }
  worked = isWorking();
}).observe(document.head, { childList: true, characterData: true, subtree: true });

new MutationObserver(showAll).observe(document.body, { childList: true, subtree: true });
showAll();

document.addEventListener("click", async ({ target }) => {
  const button = target.closest("button[data-bell]");
  if (!button) {
    return;
  }
  const allowed = isOn() || (await Notification.requestPermission()) === "granted";
  localStorage.setItem(KEPT_AS, String(allowed && !isOn()));
  show(button);
});

// Chrome has the name on Android too, where it can only throw. Who has not been asked sees nothing of
// this, and who has said yes could switch it on.
function canTell() {
  try {
    return Notification.permission === "granted" || Boolean(new Notification(""));
  } catch {
    return false;
  }
}

function isWorking() {
  return document.title.startsWith(WORKING);
}

function isOn() {
  return localStorage.getItem(KEPT_AS) === "true" && Notification.permission === "granted";
}

function showAll() {
  document.querySelectorAll("button[data-bell]").forEach(show);
}

// Only where the browser allows it.
function show(button) {
  const offered = works && Notification.permission !== "denied";
  if (button.hidden === offered) {
    button.hidden = !offered;
  }
  const pressed = String(offered && isOn());
  if (button.ariaPressed !== pressed) {
    button.ariaPressed = pressed;
  }
}
