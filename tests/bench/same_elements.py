"""A page with each kind of element that the app's first screen has, the SDK, and nothing else.

It shows what the browser takes to load the elements' code.
"""

import streamlit as st
from openai import OpenAI
from PIL import Image

OpenAI()
st.html("<style>p { margin: 0; }</style>")
st.html("<h1>1. Generate Image</h1>")
left, right = st.columns(2)
with left:
    st.image(Image.new("L", (8, 8)))
with right:
    st.text_area("Prompt")
    st.button("Generate Image")
    st.pills("Or start from one of these:", ["One", "Two", "Three"], wrap=True)
    with st.expander("Use my pictures"):
        st.file_uploader("Pictures", accept_multiple_files=True)
with st.sidebar:
    st.subheader("Settings")
    for setting in ("Pictures", "Size", "Quality", "Background", "Format"):
        st.selectbox(setting, ["auto"])
    st.subheader("Engine")
    st.text("A server, a model")
