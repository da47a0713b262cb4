"""A study as a service: an HTTP application, a client, and workers that pull trials from anywhere.

Nothing here decides or writes an event: requests go to the desk of their study.
"""
