//! FerryMQ for Python.
