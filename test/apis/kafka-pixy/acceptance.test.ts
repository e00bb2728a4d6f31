import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'chai'

/** The cases of Kafka-Pixy's own tests that were agreed on, by the numbers that they were given. */
const CASES: Readonly<Record<string, string>> = {
  H: '1-10 12 13 15-28 32-34 36-47 50-52 54 56',
  G: '1-8 10-16',
  C: '2-7 9-15 17-19',
  P: '1-7 9-11 13 14',
  O: '1 3-9',
  T: '1 3-8',
  D: '1-3 5-8',
  M: '1-15 17',
  S: '1-17 19',
  K: '1-6',
  F: '1-4 6-13',
  E: '1-9 11-16',
  A: '1-5 7-9',
  R: '1-6 8',
  N: '1',
  Y: '1 2 4-9',
  X: '1-6'
}
const TESTS = join(import.meta.dirname, '../..')
const PAGE = join(TESTS, '../docs/develop/testing.md')

/** `1-3 8` => 1, 2, 3, 8 */
const numbersIn = (text: string): number[] =>
  text.split(' ').flatMap(part => {
    const [first, last = first] = part.split('-').map(Number)
    return Array.from({ length: last! - first! + 1 }, (_, at) => first! + at)
  })

const agreed = Object.entries(CASES).flatMap(([letter, numbers]) =>
  numbersIn(numbers).map(number => `${letter}${number}`)
)

/** `pixy H3 R1: …` and `castle 9.16-D5 pixy E7 …`: the title of a test names the cases that it shows. */
const casesOf = (title: string): string[] =>
  [...title.matchAll(/\bpixy ((?:[A-Z]\d+ ?)+)(?=[: ]|\b)/g)].flatMap(([, cases]) => cases!.trim().split(' '))

function shown(): Set<string> {
  const files = readdirSync(TESTS, { recursive: true, encoding: 'utf8' }).filter(name => name.endsWith('.test.ts'))
  const titles = files.flatMap(name =>
    [...readFileSync(join(TESTS, name), 'utf8').matchAll(/\bit\(\s*(['"`])(.*?)\1/g)].map(([, , title]) => title!)
  )
  return new Set(titles.flatMap(casesOf))
}

/** Cases of the first column of the table that says why there is no test. */
function explained(): string[] {
  const [, section = ''] = readFileSync(PAGE, 'utf8').split('Numbered cases of Kafka-Pixy:')
  const rows = section.split('\n## ')[0]!.matchAll(/^\| ([^|]+) \|/gm)
  return [...rows].flatMap(([, cases]) => cases!.match(/\b[A-Z]\d+(?:-\d+)?/g) ?? []).flatMap(spread)
}

/** `S10-12` => S10, S11, S12 */
const spread = (cases: string): string[] => numbersIn(cases.slice(1)).map(number => `${cases[0]}${number}`)

describe('pixy: the agreed cases', () => {
  it('are each shown by a test, or it is said why not', () => {
    const known = new Set([...shown(), ...explained()])
    expect(agreed.filter(one => !known.has(one))).to.deep.equal([])
  })

  it('are all that titles and explanations name, and no case is both', () => {
    const titles = shown()
    expect([...titles, ...explained()].filter(one => !agreed.includes(one))).to.deep.equal([])
    expect(explained().filter(one => titles.has(one))).to.deep.equal([])
  })
})
