import { expect } from 'chai'
import { VERB_FACTS, type VerbFacts } from '../../src/verbs/facts.js'
import { runCommand } from './run-command.js'

describe('the command of a verb', () => {
  for (const [verb, { command }] of Object.entries<VerbFacts>(VERB_FACTS)) {
    it(`is there, or why there is none: ${verb}`, async () => {
      if (typeof command !== 'string') {
        expect(command.none).to.not.equal('')
        return
      }
      const { code, stdout, stderr } = await runCommand([...command.split(' '), '--help'])
      expect([code, stderr]).to.deep.equal([0, ''])
      expect(stdout).to.match(new RegExp(`^Usage: castellan ${command} `))
    })
  }
})
