"""Audio: waveforms and spectra, composed music and what holds in it, soundfonts, text-to-audio models."""
