"""Makes musicnn_golden.npz: outputs of musicnn's own TensorFlow graph, not of a rewriting of it.

Needs TensorFlow (2.21.0 was used), librosa (0.11.0) and the unpacked package musicnn 0.1.0, so it runs in an
environment of its own:  python make_musicnn_golden.py <folder of the package's modules> musicnn_golden.npz
"""

import sys
from pathlib import Path

import librosa
import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import meta_graph_pb2

sys.path.insert(0, str(Path(__file__).parent))
from musicnn_inputs import log_mel, waveform

OUTPUTS = {
    "front": "model/concat",  # (n, 187, 561)
    "dense": "model/concat_1",  # (n, 187, 753, 1)
    "penultimate": "model/batch_normalization_10/batchnorm/add_1",
    "taggram": "model/Sigmoid",
}


def outputs(folder, windows):
    """Runs the published graph, cut down to what the outputs need, with the published variables fed in."""
    meta = meta_graph_pb2.MetaGraphDef()
    meta.ParseFromString(Path(folder, ".meta").read_bytes())
    graph_def = tf.compat.v1.graph_util.extract_sub_graph(meta.graph_def, list(OUTPUTS.values()))
    for node in graph_def.node:
        node.attr.pop("_output_shapes", None)
    checkpoint = tf.compat.v1.train.NewCheckpointReader(f"{folder}/")
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        tf.import_graph_def(graph_def, name="")
        feed = {f"{n.name}:0": checkpoint.get_tensor(n.name) for n in graph_def.node if n.op == "VariableV2"}
        feed |= {"model/Placeholder:0": windows, "model/Placeholder_2:0": False}
        return session.run({name: f"{tensor}:0" for name, tensor in OUTPUTS.items()}, feed)


def original_log_mel(audio):
    """The package's preprocessing, half precision included, with librosa 0.7's reflected ends."""
    mel = librosa.feature.melspectrogram(
        y=audio, sr=16000, hop_length=256, n_fft=512, n_mels=96, pad_mode="reflect"
    ).T.astype(np.float16)
    return np.log10(10000 * mel + 1)


def main(package, out):
    spectrum = original_log_mel(waveform())
    windows = np.stack([spectrum[i : i + 187] for i in range(0, len(spectrum) - 186, 187)]).astype(np.float32)
    golden = {}
    for name in ("MTT", "MSD"):
        folder = f"{package}/{name}_musicnn"
        made = outputs(folder, log_mel())
        golden[f"{name}_penultimate"] = made["penultimate"]
        golden[f"{name}_taggram"] = made["taggram"]
        golden[f"{name}_front"] = made["front"][:, ::31]
        golden[f"{name}_dense"] = made["dense"][:, ::31, 561:, 0]
        golden[f"{name}_audio_taggram"] = outputs(folder, windows)["taggram"]
    np.savez_compressed(out, **golden)


if __name__ == "__main__":
    main(*sys.argv[1:])
