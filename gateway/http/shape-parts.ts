// What shapes of documents are put together from.

export const text = (description: string) => ({ type: 'string', description });
export const count = (description: string, minimum = 1) => ({ type: 'integer', minimum, description });

/** A shape by its name. */
export const ref = (name: string) => ({ $ref: `#/components/schemas/${name}` });

/** An object that has these members and no others; names ending in `?` are optional. */
export const object = (description: string, members: { readonly [name: string]: object }) => ({
  type: 'object',
  description,
  properties: Object.fromEntries(
    Object.entries(members).map(([name, schema]) => [name.replace('?', ''), schema]),
  ),
  required: Object.keys(members).filter((name) => !name.endsWith('?')),
  additionalProperties: false,
});
