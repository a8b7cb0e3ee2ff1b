"""Pictures, by any server that speaks the Images API: all that is offered to the rooms above."""

from utils.images.addresses import ROUTES, address
from utils.images.api import Picture, kind, make, places
from utils.images.catalogue import is_listing, listed_models
from utils.images.composing import COMPOSER, put_back
from utils.images.differences import prompt_difference, settings_difference
from utils.images.engines import asks_for_key, engine, is_demo, key_label, key_warning
from utils.images.models import COSTLY, PRESETS, expected_cost, retirement
from utils.images.parameters import (
    AUTO,
    DEFAULTS,
    PARAMETERS,
    choices,
    choose,
    choose_engines,
    fit,
    lacking,
    size_error,
    size_to_come,
)
from utils.images.pictures import MIME, Draft, encode, extension_of, file_name
from utils.images.uploads import take_uploads

__all__ = [
    "AUTO",
    "COMPOSER",
    "COSTLY",
    "DEFAULTS",
    "MIME",
    "PARAMETERS",
    "PRESETS",
    "ROUTES",
    "Draft",
    "Picture",
    "address",
    "asks_for_key",
    "choices",
    "choose",
    "choose_engines",
    "encode",
    "engine",
    "expected_cost",
    "extension_of",
    "file_name",
    "fit",
    "is_demo",
    "is_listing",
    "key_label",
    "key_warning",
    "kind",
    "lacking",
    "listed_models",
    "make",
    "places",
    "prompt_difference",
    "put_back",
    "retirement",
    "settings_difference",
    "size_error",
    "size_to_come",
    "take_uploads",
]
