"""docs/schema as the tests use it: what a program prints must fit its schema, and have nothing that the schema does not know."""
import copy
import json
from pathlib import Path

import jsonschema

FOLDER = Path(__file__).resolve().parents[2] / 'docs/schema'


def load(name):
    """The schema docs/schema/NAME.schema.json, itself checked."""
    schema = json.loads((FOLDER / f'{name}.schema.json').read_text())
    jsonschema.Draft7Validator.check_schema(schema)
    return schema


def strict(schema):
    """The schema without leave to add members: what a program may add, the page must know."""
    schema = copy.deepcopy(schema)

    def close(part):
        if isinstance(part, dict):
            if isinstance(part.get('properties'), dict):
                part.setdefault('additionalProperties', False)
            for value in part.values():
                close(value)
        elif isinstance(part, list):
            for value in part:
                close(value)
    close(schema)
    return schema


def check(name, value):
    """value must be as docs/schema/NAME says, to the last member. Returns it."""
    jsonschema.Draft7Validator(strict(load(name))).validate(value)
    return value
