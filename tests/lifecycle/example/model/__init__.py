"""Your model: contract, data, features and estimator. The machinery that runs it is in lifecycle/."""
