import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'chai'

/** The cases that kafboy and ekaf were agreed to pass, by number; the title of each test begins with those it shows. */
const CASES = { kafboy: 19, ekaf: 22 }
/** Of ekaf's workers and downtimes: kafboy.md says that these are not imitated. */
const NOT_IMITATED: readonly string[] = ['ekaf 2', 'ekaf 10', 'ekaf 11']

const titlesIn = (folder: string): string[] =>
  readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter(name => name.endsWith('.test.ts'))
    .flatMap(name => [...readFileSync(join(folder, name), 'utf8').matchAll(/\b(?:it|describe)\(\s*(['"`])(.*?)\1/g)])
    .map(([, , title]) => title!)

/** `kafboy 1, ekaf 5, 6: …` => `kafboy 1`, `ekaf 5`, `ekaf 6` */
function casesOf(title: string): string[] {
  const [start] = title.match(/^(?:(?:kafboy|ekaf) \d+(?:, \d+)*(?:, )?)+(?=:)/) ?? ['']
  let api = ''
  return start.split(', ').flatMap(word => {
    const [, named, number] = word.match(/^(?:(\w+) )?(\d+)$/) ?? []
    api = named ?? api
    return number === undefined ? [] : [`${api} ${number}`]
  })
}

describe('kafboy: the agreed cases', () => {
  it('are shown by a test each', () => {
    const folders = [import.meta.dirname, join(import.meta.dirname, '../../runs/integration')]
    const shown = new Set(folders.flatMap(titlesIn).flatMap(casesOf))
    const agreed = Object.entries(CASES).flatMap(([api, last]) =>
      Array.from({ length: last }, (_, i) => `${api} ${i + 1}`)
    )
    expect(agreed.filter(one => !shown.has(one) && !NOT_IMITATED.includes(one))).to.deep.equal([])
  })
})
