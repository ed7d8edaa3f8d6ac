"""For how long results wait for an object store that does not answer, or that refuses our keys. Supervisors start with it, so
it imports nothing."""

#: Seconds for which what a training job leaves is offered to the store, and for which its inputs are asked for.
PATIENCE_SECONDS = 86_400.0
#: The same for the last copy of checkpoints: the training job's end waits for it.
MIRROR_PATIENCE_SECONDS = 600.0
