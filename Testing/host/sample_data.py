"""A stand-in for Slicer's SampleData module: keeps what is registered, runs a custom downloader."""

from __future__ import annotations

from typing import Any


class SampleDataSource:
    """One registered sample."""

    def __init__(self, sampleName: str | None = None, customDownloader: Any = None, **rest: Any) -> None:
        self.sampleName, self.customDownloader = sampleName, customDownloader
        self.uris, self.fileNames, self.nodeNames = (rest.get(k) for k in ("uris", "fileNames", "nodeNames"))
        self.thumbnailFileName = rest.get("thumbnailFileName")


_sources: dict[str, list[SampleDataSource]] = {}


class SampleDataLogic:
    """Registration and download."""

    @staticmethod
    def registerCustomSampleDataSource(
        category: str = "Custom",
        sampleName: str | None = None,
        uris: Any = None,
        fileNames: Any = None,
        nodeNames: Any = None,
        customDownloader: Any = None,
        thumbnailFileName: Any = None,
        loadFileTypes: Any = None,
        loadFiles: Any = None,
        loadFileProperties: Any = None,
        checksums: Any = None,
        loadFileType: Any = None,
    ) -> None:
        source = SampleDataSource(sampleName, customDownloader, thumbnailFileName=thumbnailFileName)
        kept = [s for s in _sources.get(category, []) if s.sampleName != sampleName]
        _sources[category] = [*kept, source]

    @staticmethod
    def sampleDataSourcesByCategory(category: str | None = None) -> Any:
        return _sources if category is None else _sources.get(category, [])


def downloadSample(sampleName: str) -> Any:
    """Run the sample's downloader."""
    for sources in _sources.values():
        for source in sources:
            if source.sampleName == sampleName:
                return source.customDownloader(source)
    raise ValueError(f"no sample {sampleName}")
