"""Writes the breast cancer data that ship with scikit-learn as CSV files: label first, no header.

python examples/xgboost-tabular/data.py      # into data/ beside this file
"""

import os

import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split


def tables():
    """Training and validation data: for each row the label and 30 features."""
    features, labels = load_breast_cancer(return_X_y=True)
    train, held = train_test_split(np.arange(len(labels)), test_size=0.35, random_state=0, stratify=labels)
    whole = np.column_stack([labels, features])
    return {"train": whole[train], "validation": whole[held]}


if __name__ == "__main__":
    folder = os.path.join(os.path.dirname(os.path.abspath(__file__)), "data")
    os.makedirs(folder, exist_ok=True)
    for name, table in tables().items():
        np.savetxt(os.path.join(folder, f"{name}.csv"), table, delimiter=",", fmt="%g")
        print(f"{folder}/{name}.csv: {len(table)} rows")
