"""Errors that a person can act on: each says what went wrong, what was found, and what to do.

The command line prints the sentence and exits with 1; a page shows it in place. Anything that is not a
`CurationError` is a defect of ours.
"""


class CurationError(Exception):
    """Base of every error whose message is written for the person who uses the tool."""


class WorkspaceLocked(CurationError):
    """Another process owns the workspace's store."""


class RequestRefused(CurationError):
    """The process that owns the store could not do what another one asked it for."""


class StoreUnusable(CurationError):
    """The store cannot be opened: damaged, of another version, or not writable."""


class WriteFailed(CurationError):
    """The disk took no more: nothing of the change is in the store, and what was there can still be read."""


class SourceUnreadable(CurationError):
    """A data file cannot be read at all (a row that cannot be read is a `Rejected`, not an error)."""


class NoUsableRows(CurationError):
    """A source was read and held no row that can be scored."""


class NameTaken(CurationError):
    """A run, reference or selection of that name exists and is something else."""


class NotFound(CurationError):
    """No dataset, run, model, job or selection of that name."""


class ModelUnusable(CurationError):
    """A model cannot be resolved, is unsafe to load, or its weights are not all there."""


class TokenizerMismatch(CurationError):
    """Base and reference read text as different tokens, so their losses are not comparable."""


class TemplateFailed(CurationError):
    """A chat template refused a conversation, ran too long, or cannot tell prompt from response."""


class TemplateTooSlow(TemplateFailed):
    """A chat template ran too long for one conversation."""


class EncodingOutdated(CurationError):
    """A job or a run was encoded by a version of the program that scores other tokens."""


class SettingInvalid(CurationError):
    """The environment gives a setting a value that it cannot have."""


class PathRefused(CurationError):
    """A path that cannot be one, or that lies outside the folders where the dashboard's users may read and write."""


class SelectionInvalid(CurationError):
    """A recipe asks for something that the scores or the data do not have."""


class TokensUnavailable(CurationError):
    """The losses of an example's tokens cannot be computed."""


class NothingScored(TokensUnavailable):
    """No token of an example is scored, so there are no losses to show."""


class NotPermitted(CurationError):
    """Who asks may not do this: may only look, or is not let in."""


class ServerOpen(CurationError):
    """The server would be reachable by people who were not let in."""


class JobFailed(CurationError):
    """A worker ended without finishing its job."""


class JobCancelled(CurationError):
    """A job was cancelled: losses that it had computed are kept, a training or a search is not."""


class ExportFailed(CurationError):
    """An export could not be written; nothing of it was left behind."""
