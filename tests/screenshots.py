"""Make the pictures of the documents from the real app on the demo engine."""

from pathlib import Path
from tempfile import TemporaryDirectory

from playwright.sync_api import sync_playwright

from tests.browser import ARGS, find_system_browser
from tests.conftest import ROOT, run_app
from tests.studio import expect_screen, expect_settled, generate, open_app


def make() -> None:
    """Write assets/review.png."""
    with (
        TemporaryDirectory() as folder,
        run_app(Path(folder) / "log") as app,
        sync_playwright() as playwright,
        playwright.chromium.launch(executable_path=find_system_browser(), args=ARGS) as browser,
    ):
        page = browser.new_page(viewport={"width": 1366, "height": 768})
        open_app(page, app)
        generate(page, "A lighthouse by the sea at sunset")
        expect_screen(page, "2. Review Generated Image")
        expect_settled(page)
        page.screenshot(path=ROOT / "assets" / "review.png")


if __name__ == "__main__":
    make()
