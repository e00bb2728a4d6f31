import { expect } from 'chai'
import { roomBugs } from '../mutants/room-bugs.js'
import { plantedBugs } from './mutants/bugs.js'
import { NotPlantedError, type PlantedBug, plant, readSources } from './mutants/plant.js'

describe('simulation: planted bugs', () => {
  it('can each be planted into the sources as they are', async () => {
    const sources = await readSources('src')
    expect(plantedBugs).to.have.length.above(40)
    expect(roomBugs).to.have.length.above(19)
    const all = [...plantedBugs, ...roomBugs]
    expect(new Set(all.map(({ name }) => name)).size).to.equal(all.length)
    expect(all.flatMap(bug => whyNotPlanted(bug, sources))).to.deep.equal([])
  })
})

function whyNotPlanted(bug: PlantedBug, sources: ReadonlyMap<string, string>): string[] {
  try {
    plant(bug, sources)
    return []
  } catch (error) {
    if (error instanceof NotPlantedError) return [`${bug.name}: ${error.message}`]
    throw error
  }
}

describe('planting a bug', () => {
  const account = `
/** What is left. */
export class Account {
  #left = 0
  constructor(left: number) { this.#left = left }
  take(
    bytes: number
  ): boolean {
    // Comments
    if (bytes > this.#left) return false
    this.#left -= bytes // do not count.
    return true
  }
  #say(): string { return \`\${this.#left} bytes are left\` }
}
export function take(bytes: number): number { return bytes - 1 }
const limits = { least: 1, most: 2 }
`
  const sources = new Map([
    ['src/account.ts', account],
    ['src/other.ts', 'export const sum = (a: number, b: number) => a + b + b']
  ])
  const planted = (declaration: string, find: string, replaceWith: string): string[] => {
    const bug = { name: 'bug', about: 'Something is wrong.', edits: [{ in: declaration, find, replaceWith }] }
    return [...plant(bug, sources)].map(([path, text]) => `${path}: ${text}`)
  }

  it('changes the file that declares what is named', () => {
    const changed = (from: string, to: string): string[] => {
      expect(account).to.include(from)
      return [`src/account.ts: ${account.replace(from, to)}`]
    }
    expect(planted('Account.take', 'return true', 'return false')).to.deep.equal(changed('return true', 'return false'))
    expect(planted('Account.constructor', '= left', '= 0')).to.deep.equal(changed('= left }', '= 0 }'))
    expect(planted('Account.#left', '0', '7')).to.deep.equal(changed('#left = 0', '#left = 7'))
    expect(planted('Account.#say', 'bytes are left', 'bytes')).to.deep.equal(changed('bytes are left', 'bytes'))
    expect(planted('Account', '> this', '>= this')).to.deep.equal(changed('> this', '>= this'))
    expect(planted('take', '- 1', '')).to.deep.equal(changed('- 1', ''))
    expect(planted('limits', 'most: 2', 'most: 3')).to.deep.equal(changed('most: 2', 'most: 3'))
    expect(planted('sum', 'a + b', 'a')).to.deep.equal([
      'src/other.ts: export const sum = (a: number, b: number) => a + b'
    ])
  })

  it('compares token by token, whatever white space and comments are between them', () => {
    const find = 'if(bytes>this.#left)\n\n return false this . # left -= bytes return'
    expect(planted('Account.take', find, 'return')[0]).to.match(/\{\s+\/\/ Comments\s+return true/)
    expect(() => planted('Account.take', 'returntrue', '')).to.throw(NotPlantedError)
    expect(() => planted('Account.take', 'return tru', '')).to.throw(NotPlantedError)
  })

  it('makes all changes of a bug', () => {
    const edits = [
      { in: 'Account.take', find: 'return false', replaceWith: 'return 0' },
      { in: 'sum', find: 'a + b', replaceWith: 'a' },
      { in: 'Account.take', find: 'return true', replaceWith: 'return 1' }
    ]
    const changed = plant({ name: 'bug', about: 'Three places are wrong.', edits }, sources)
    expect(changed.get('src/account.ts')).to.equal(
      account.replace('return false', 'return 0').replace('return true', 'return 1')
    )
    expect(changed.get('src/other.ts')).to.match(/=> a \+ b$/)
  })

  it('says which declaration or code is not there, or there more than once', () => {
    expect(() => planted('Account.give', 'x', '')).to.throw(NotPlantedError, 'no file declares Account.give')
    expect(() => planted('take', 'return true', '')).to.throw(
      'take (src/account.ts) contains 0 times, not once: return true'
    )
    expect(() => planted('sum', 'b', '')).to.throw('sum (src/other.ts) contains 3 times, not once: b')
  })
})
