"""Jobs that outlive the page that asked for them, how they end, and how long they take."""
