// Pictures that are pasted or dropped anywhere go into the page's box for a person's own pictures,
// where there is one.

document.addEventListener("paste", (event) => take(event, event.clipboardData));

document.addEventListener("dragover", (event) => {
  if (event.dataTransfer.types.includes("Files") && box()) {
    event.preventDefault();
    document.body.classList.add("receiving");
  }
});
document.addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) {
    document.body.classList.remove("receiving");
  }
});
document.addEventListener("drop", (event) => {
  document.body.classList.remove("receiving");
  // What falls into the box itself it takes by itself.
  if (!event.target.closest("[data-testid=stFileUploaderDropzone]")) {
    take(event, event.dataTransfer);
  }
});

function box() {
  // Streamlit says on the frame alone that a box rests.
  return document.querySelector("[data-testid=stFileUploaderDropzone]:not([aria-disabled=true]) input");
}

function take(event, { files }) {
  const pictures = [...files].filter(({ type }) => type.startsWith("image/"));
  if (!pictures.length || !box()) {
    return;
  }
  event.preventDefault();
  const transfer = new DataTransfer();
  pictures.forEach((picture) => transfer.items.add(picture));
  box().files = transfer.files;
  box().dispatchEvent(new Event("change", { bubbles: true }));
}
