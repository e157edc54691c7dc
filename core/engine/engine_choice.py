"""What the engine leaves to a measurement on the machine: the library, the form of attention, the size of a tile."""

from dataclasses import dataclass, field

ONEDNN, TORCH = "onednn", "torch"
"""Libraries for matrix products; torch's own is MKL in its builds for x86."""
BLOCKS = "blocks"
"""Attention in blocks of queries; the other form is `TORCH`."""
TILE_TOKENS = 2048
"""Tokens of the vocabulary in a tile: its logits (at most 8 MB) and its weights fit in the cache of most CPUs."""
TILES = (1024, TILE_TOKENS, 4096)


@dataclass(frozen=True, slots=True)
class EngineChoice:
    """How the engine computes on a CPU in float32. measured: the speeds behind it, for the log; "" if not measured."""

    products: str = TORCH
    attention: str = BLOCKS
    tile_tokens: int = TILE_TOKENS
    measured: str = field(default="", compare=False)

    @property
    def is_known(self) -> bool:
        """Whether each part is one that this version has: the choice may come from a file."""
        return (
            self.products in (ONEDNN, TORCH) and self.attention in (BLOCKS, TORCH) and 0 < self.tile_tokens <= TILES[-1]
        )

    @property
    def sentence(self) -> str:
        """For the log."""
        library = "oneDNN" if self.products == ONEDNN else "torch's own library"
        form = "in blocks" if self.attention == BLOCKS else "by torch"
        how = f" ({self.measured})" if self.measured else ""
        return f"products by {library}, attention {form}, tiles of {self.tile_tokens:,} tokens{how}"
