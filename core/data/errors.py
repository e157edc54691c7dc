"""Errors that a person can act on: each says what went wrong, what was found, and what to do.

The command line prints the sentence and exits with 1; a page shows it in place. Anything that is not a
`UserError` is a defect of ours.
"""


class UserError(Exception):
    """Base of every error whose message is written for the person who uses the tool."""


class WorkspaceLocked(UserError):
    """Another process owns the workspace's store."""


class RequestRefused(UserError):
    """The process that owns the store could not do what another one asked it for."""


class StoreUnusable(UserError):
    """The store cannot be opened: damaged, of another version, or not writable."""


class WriteFailed(UserError):
    """The disk took no more: nothing of the change is in the store, and what was there can still be read."""


class SourceUnreadable(UserError):
    """A data file cannot be read at all (a row that cannot be read is a `Rejected`, not an error)."""


class NoUsableRows(UserError):
    """A source was read and held no row that can be scored."""


class NameTaken(UserError):
    """A run, reference or selection of that name exists and is something else."""


class NotFound(UserError):
    """No dataset, run, model, job or selection of that name."""


class ModelUnusable(UserError):
    """A model cannot be resolved, is unsafe to load, or its weights are not all there."""


class TokenizerMismatch(UserError):
    """Base and reference read text as different tokens, so their losses are not comparable."""


class TemplateFailed(UserError):
    """A chat template refused a conversation, ran too long, or cannot tell prompt from response."""


class TemplateTooSlow(TemplateFailed):
    """A chat template ran too long for one conversation."""


class EncodingOutdated(UserError):
    """A job or a run was begun by a version of the program that scores other tokens, or gives them other losses."""


class SettingInvalid(UserError):
    """The environment gives a setting a value that it cannot have."""


class PathRefused(UserError):
    """A path that cannot be one, or that lies outside the folders where the dashboard's users may read and write."""


class SelectionInvalid(UserError):
    """A recipe asks for something that the scores or the data do not have."""


class TokensUnavailable(UserError):
    """The losses of an example's tokens cannot be computed."""


class NothingScored(TokensUnavailable):
    """No token of an example is scored, so there are no losses to show."""


class NotPermitted(UserError):
    """Who asks may not do this: may only look, or is not let in."""


class ServerOpen(UserError):
    """The server would be reachable by people who were not let in."""


class JobFailed(UserError):
    """A worker ended without finishing its job."""


class JobCancelled(UserError):
    """A job was cancelled: losses that it had computed are kept, a training or a search is not."""


class ExportFailed(UserError):
    """An export could not be written; nothing of it was left behind."""
