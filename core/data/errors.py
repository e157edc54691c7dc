"""Errors that the user can act on: each says what went wrong, what was found, and what to do.

The command line prints the message and exits with 1; a page shows it in place. Any other exception is a bug.
"""


class UserError(Exception):
    """Base class of all errors whose message is meant for the user."""


class WorkspaceLocked(UserError):
    """Another process owns the workspace's store."""


class RequestRefused(UserError):
    """The process that owns the store could not answer another process's request."""


class StoreUnusable(UserError):
    """The store cannot be opened: damaged, of another version, or not writable."""


class QueryStopped(UserError):
    """A query took longer than a page may wait for it, or nobody waits for it any more."""


class WriteFailed(UserError):
    """Writing failed, for example because the disk is full. The store is unchanged and still readable."""


class SourceUnreadable(UserError):
    """A whole data file cannot be read. (A single unreadable record is a `Rejected`, not an error.)"""


class JsonInvalid(UserError):
    """A JSON text from outside cannot be read: damaged, too large, or not what it should be."""


class NoUsableRows(UserError):
    """A source was read but has no row that can be scored."""


class NameTaken(UserError):
    """A different run, reference or selection of that name exists."""


class NotFound(UserError):
    """No dataset, run, model, job or selection with that name."""


class ModelUnusable(UserError):
    """A model cannot be found, is unsafe to load, or has missing weights."""


class ModelChanged(ModelUnusable):
    """A model's files are not those that a job was planned with."""


class ModelTooLarge(ModelUnusable):
    """A model does not fit into the memory of the device that is to hold it."""


class TrainingDiverged(UserError):
    """A training's loss or weights are no longer finite numbers."""


class TokenizerMismatch(UserError):
    """Base and reference tokenise text differently, so their losses are not comparable."""


class TemplateFailed(UserError):
    """A chat template rejected a conversation, timed out, or does not separate prompt from response."""


class TemplateStopped(TemplateFailed):
    """A chat template used up its time for one conversation, or ended the process that renders it."""


class EncodingOutdated(UserError):
    """A job or run was begun by a program version that scores different tokens or computes different losses."""


class SettingInvalid(UserError):
    """An environment variable gives a setting an invalid value."""


class PathRefused(UserError):
    """A path that is invalid, or outside the folders that dashboard users may access."""


class SelectionInvalid(UserError):
    """A recipe or filter is invalid for the scores or the data."""


class TrialInvalid(UserError):
    """A trial's plan is invalid or was changed after it was fixed, or its results do not fit it."""


class TasksFailed(UserError):
    """lm-evaluation-harness is not installed, or it could not run the tasks on the model."""


class TokensUnavailable(UserError):
    """The token losses of an example cannot be computed."""


class NothingScored(TokensUnavailable):
    """No token of an example is scored, so there are no token losses."""


class NotPermitted(UserError):
    """The user has no permission for this."""


class ServerOpen(UserError):
    """The server would be reachable by people without access."""


class FoldsUnusable(UserError):
    """Rows cannot be split into the folds asked for, or a file of folds cannot be used."""


class JobFailed(UserError):
    """A worker ended without finishing its job."""


class JobIncomplete(UserError):
    """A finished job's folder is not whole here: files that its outcome names are missing or differ."""


class JobCancelled(UserError):
    """A job was cancelled. Computed losses are kept; an unfinished training or search is not."""


class ExportFailed(UserError):
    """An export could not be written. No partial files are left."""
