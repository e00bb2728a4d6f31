import type { Choices } from './choices.js'

const INTERESTING = [
  '\0',
  '\r',
  '\n',
  '\r\n',
  ' ',
  '\t',
  ':',
  ';',
  ',',
  '+',
  '-',
  '0',
  '9',
  'f',
  '\x0b',
  '\x7f',
  '\xff',
  '\r\n\r\n',
  '0\r\n\r\n'
]
const HEAD_END = '\r\n\r\n'

/** Changes the bytes of one request in a few places, mostly in its head. One character per byte. */
export function mutated(text: string, choices: Choices): string {
  let changed = text
  for (let left = choices.pick([1, 1, 1, 2, 2, 4]); left > 0 && changed.length > 0; left--) {
    changed = choices.pick(mutations)(changed, choices)
  }
  return changed
}

type Mutation = (text: string, choices: Choices) => string

/** A place in the head, rarely one behind it. */
function placeIn(text: string, choices: Choices): number {
  const end = text.indexOf(HEAD_END)
  const inHead = end >= 0 && choices.percent(80)
  return choices.between(0, inHead ? end + HEAD_END.length - 1 : text.length - 1)
}

const splice = (text: string, at: number, remove: number, insert: string): string =>
  text.slice(0, at) + insert + text.slice(at + remove)

/** One line of the head, with its end. */
function lineIn(text: string, choices: Choices): { at: number; line: string } {
  const place = placeIn(text, choices)
  const at = text.lastIndexOf('\n', place - 1) + 1
  const end = text.indexOf('\n', place)
  return { at, line: text.slice(at, end < 0 ? text.length : end + 1) }
}

function bitFlipped(text: string, choices: Choices): string {
  const at = placeIn(text, choices)
  return splice(text, at, 1, String.fromCharCode(text.charCodeAt(at) ^ (1 << choices.between(0, 7))))
}

const inserted: Mutation = (text, choices) => splice(text, placeIn(text, choices), 0, choices.pick(INTERESTING))
const replaced: Mutation = (text, choices) => splice(text, placeIn(text, choices), 1, choices.pick(INTERESTING))
const deleted: Mutation = (text, choices) => splice(text, placeIn(text, choices), choices.pick([1, 1, 2, 5, 20]), '')

const lineDoubled: Mutation = (text, choices) => {
  const { at, line } = lineIn(text, choices)
  return splice(text, at, 0, line)
}

const lineMoved: Mutation = (text, choices) => {
  const { at, line } = lineIn(text, choices)
  const without = splice(text, at, line.length, '')
  return without === '' ? text : splice(without, lineIn(without, choices).at, 0, line)
}

const lineDeleted: Mutation = (text, choices) => {
  const { at, line } = lineIn(text, choices)
  return splice(text, at, line.length, '')
}

/** Another length, or another size of a chunk. */
const numberChanged: Mutation = (text, choices) => {
  const places = [...text.slice(0, 5_000).matchAll(/(?<=content-length:\s*)\d+|(?<=\n)[\da-f]+(?=[;\r])/gi)]
  if (places.length === 0) return bitFlipped(text, choices)
  const { 0: number, index } = choices.pick(places)
  const other = choices.pick([
    `${number}0`,
    `0${number}`,
    number.slice(1),
    String(Number(number) + 1),
    String(Number(number) - 1)
  ])
  return splice(text, index, number.length, other)
}

const lineEndChanged: Mutation = (text, choices) => {
  const at = text.indexOf('\r\n', placeIn(text, choices))
  return at < 0
    ? bitFlipped(text, choices)
    : splice(text, at, 2, choices.pick(['\n', '\r', '\n\r', '\r\r\n', '\r\n ', '\r\n\t', '']))
}

const mutations: readonly Mutation[] = [
  bitFlipped,
  bitFlipped,
  inserted,
  inserted,
  replaced,
  deleted,
  lineDoubled,
  lineMoved,
  lineDeleted,
  numberChanged,
  lineEndChanged
]
