"""XGBoost in script mode, in the manner of the public examples: channels, hyperparameters, a pickled booster."""

import argparse
import glob
import logging
import os

import numpy as np
import pandas as pd
import xgboost as xgb

logging.basicConfig(level=logging.INFO)


def matrix(folder):
    data = pd.concat([pd.read_csv(path, header=None) for path in glob.glob(f"{folder}/*.csv")])
    return xgb.DMatrix(data.iloc[:, 1:], label=data.iloc[:, 0])


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--max_depth", type=int)
    parser.add_argument("--eta", type=float)
    parser.add_argument("--objective", type=str)
    parser.add_argument("--num_class", type=int)
    parser.add_argument("--num_round", type=int)
    parser.add_argument("--sm_hosts", type=str, default=os.environ.get("SM_HOSTS"))
    parser.add_argument("--sm_current_host", type=str, default=os.environ.get("SM_CURRENT_HOST"))
    parser.add_argument("--train", type=str, default=os.environ.get("SM_CHANNEL_TRAIN"))
    parser.add_argument("--validation", type=str, default=os.environ.get("SM_CHANNEL_VALIDATION"))
    parser.add_argument("--model_dir", type=str, default=os.environ.get("SM_MODEL_DIR"))
    args, _ = parser.parse_known_args()

    settings = {"max_depth": args.max_depth, "eta": args.eta, "objective": args.objective, "num_class": args.num_class}
    train, validation = matrix(args.train), matrix(args.validation)
    model = xgb.train(settings, train, args.num_round, evals=[(train, "train"), (validation, "validation")])
    logging.info("wrong: %.4f", np.mean(model.predict(validation) != validation.get_label()))
    model.save_model(os.path.join(args.model_dir, "xgboost-model"))
