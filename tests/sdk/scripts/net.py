"""A small PyTorch network, in the manner of the public examples: batches, epochs, a printed test loss, a state_dict."""

import argparse
import json
import os

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


def loader(folder, batch_size):
    table = np.concatenate([np.loadtxt(os.path.join(folder, f), delimiter=",", ndmin=2) for f in os.listdir(folder)])
    x, y = torch.tensor(table[:, 1:] / 16, dtype=torch.float32), torch.tensor(table[:, 0], dtype=torch.int64)
    return DataLoader(TensorDataset(x, y), batch_size=batch_size, shuffle=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--lr", type=float, default=0.01)
    parser.add_argument("--backend", type=str, default=None)
    parser.add_argument("--hosts", type=list, default=json.loads(os.environ["SM_HOSTS"]))
    parser.add_argument("--current-host", type=str, default=os.environ["SM_CURRENT_HOST"])
    parser.add_argument("--model-dir", type=str, default=os.environ["SM_MODEL_DIR"])
    parser.add_argument("--data-dir", type=str, default=os.environ["SM_CHANNEL_TRAIN"])
    parser.add_argument("--num-gpus", type=int, default=os.environ["SM_NUM_GPUS"])
    args = parser.parse_args()

    torch.manual_seed(0)
    device = torch.device("cuda" if args.num_gpus > 0 else "cpu")
    model = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10)).to(device)
    optimizer = torch.optim.Adam(model.parameters(), lr=args.lr)
    for epoch in range(1, args.epochs + 1):
        total = 0.0
        for x, y in loader(args.data_dir, args.batch_size):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(x.to(device)), y.to(device))
            loss.backward()
            optimizer.step()
            total += loss.item() * len(y)
        print(f"Train Epoch: {epoch} Average loss: {total / 400:.4f}", flush=True)
    torch.save(model.state_dict(), os.path.join(args.model_dir, "model.pth"))
