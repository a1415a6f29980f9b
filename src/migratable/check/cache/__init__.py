"""Equal VMs are replayed once: what a replay looked at, and what is equal in that view."""
