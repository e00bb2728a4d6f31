/**
 * What is taken is released. Each amount that a test has made, of places, calls or bytes, is back at 0 when its hooks have
 * closed what it has opened; those of a file and of its blocks when the file ends. Time for that: a second, of the clock
 * of the world where there is one. What a process of a world has held when it was killed is left out.
 *
 * Mocha loads this (`.mocharc.json`); a file in which something is kept fails.
 */
import { HeldAmount } from '../../src/core/held-amount.js'
import { HeldAmounts } from './held-amounts.js'

const PATIENCE_MS = 1_000
const LOOK_AGAIN_MS = 20
/** Where a fake clock stands still. */
const LONGEST_LOOK_MS = 200
const native = { setTimeout }

let ofFile = new HeldAmounts()
let ofTest: HeldAmounts | undefined
const problems = new Set<string>()
let test = 'before its first test'

HeldAmount.watch = {
  made: amount => (ofTest ?? ofFile).add(amount, test),
  overdrawn: ({ name }) =>
    void problems.add(`more ${name} are released than were taken, in "${test}"\n${new Error('released').stack}`)
}

async function look(amounts: HeldAmounts): Promise<void> {
  for (let waitedMs = 0; amounts.kept.length > 0 && waitedMs < PATIENCE_MS; waitedMs += LOOK_AGAIN_MS) {
    await new Promise(resolve => {
      globalThis.setTimeout(resolve, LOOK_AGAIN_MS)
      native.setTimeout(resolve, LONGEST_LOOK_MS).unref()
    })
  }
}

export const mochaHooks = {
  beforeEach(this: Mocha.Context) {
    test = this.currentTest!.fullTitle()
    ofTest = new HeldAmounts()
  },
  async afterEach() {
    if (ofTest === undefined) return
    await look(ofTest)
    // What a test has started may be closed by the hooks of its block.
    ofTest.moveKeptTo(ofFile)
    ofTest = undefined
  },
  async afterAll(this: Mocha.Context) {
    await look(ofFile)
    for (const kept of ofFile.kept) problems.add(kept)
    ofFile = new HeldAmounts()
    const told = [...problems]
    problems.clear()
    if (told.length > 0) throw new Error(`not all is released\n${told.slice(0, 10).join('\n')}`)
  }
}
