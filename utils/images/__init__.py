"""Pictures, by any server that speaks the Images API: all that is offered to the rooms above."""

from utils.images.addresses import ROUTES, address, offer
from utils.images.api import RECORDS, Picture, kind, make, places
from utils.images.catalogue import has_listed, listed_models
from utils.images.composing import COMPOSER, put_back
from utils.images.credentials import credentials_in_words, read_credentials, signal_in_words
from utils.images.differences import prompt_difference, settings_difference
from utils.images.engines import (
    asks_for_key,
    engine,
    is_demo,
    is_openai,
    key_label,
    key_warning,
)
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
from utils.images.pictures import MIME, Draft, encode, extension_of, file_name, shorten
from utils.images.provenance import ask as ask_provenance
from utils.images.provenance import check_of, signals
from utils.images.record import record_of, write_archive
from utils.images.uploads import take_uploads

__all__ = [
    "AUTO",
    "COMPOSER",
    "COSTLY",
    "DEFAULTS",
    "MIME",
    "PARAMETERS",
    "PRESETS",
    "RECORDS",
    "ROUTES",
    "Draft",
    "Picture",
    "address",
    "ask_provenance",
    "asks_for_key",
    "check_of",
    "choices",
    "choose",
    "choose_engines",
    "credentials_in_words",
    "encode",
    "engine",
    "expected_cost",
    "extension_of",
    "file_name",
    "fit",
    "has_listed",
    "is_demo",
    "is_openai",
    "key_label",
    "key_warning",
    "kind",
    "lacking",
    "listed_models",
    "make",
    "offer",
    "places",
    "prompt_difference",
    "put_back",
    "read_credentials",
    "record_of",
    "retirement",
    "settings_difference",
    "shorten",
    "signal_in_words",
    "signals",
    "size_error",
    "size_to_come",
    "take_uploads",
    "write_archive",
]
