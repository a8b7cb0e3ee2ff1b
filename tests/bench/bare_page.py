"""The yardstick: the least that a Streamlit page can do to show one generated picture."""

import base64

import streamlit as st
from openai import OpenAI

prompt = st.text_area("Prompt")
if st.button("Generate Image"):
    answer = OpenAI().images.generate(model="gpt-image-2.5-flare", prompt=prompt)
    image = (answer.data or [])[0].b64_json or ""
    st.image(base64.b64decode(image))
    st.button("Approve")
