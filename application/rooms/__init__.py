"""The rooms of one request, in order: identify, permit, admit, reserve, dispatch, relay, settle."""
