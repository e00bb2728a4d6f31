import { readdirSync, readFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { expect } from 'chai'
import { operations, operationsOfRole } from '../../../src/router/processors/operations.js'

/** The embedded broker apart: it is the other side of the protocol. */
const filesNaming = (word: string): string[] => {
  const isNamed = new RegExp(`\\b${word}\\b`)
  return readdirSync('src', { withFileTypes: true, recursive: true })
    .filter(entry => entry.isFile() && entry.name.endsWith('.ts'))
    .map(entry => join(entry.parentPath, entry.name))
    .filter(file => !file.startsWith(join('src', 'embedded-broker')) && isNamed.test(readFileSync(file, 'utf8')))
    .map(file => relative('src', file))
    .sort()
}

describe('one descriptor per operation', () => {
  it('an operation is named by its message, its processor, the lists and its user', () => {
    expect(filesNaming('initProducerId')).to.deep.equal([
      'cli/doctor/examine.ts',
      'cli/doctor/findings.ts',
      'kafka/broker-client.ts',
      'kafka/features.ts',
      'producer/memory/numbering.ts',
      'router/messages/internal.ts',
      'router/processors/operations.ts',
      'router/processors/produce-admission.ts'
    ])
  })

  it('an operation of the members of groups is named in the same way', () => {
    expect(filesNaming('leaveGroup')).to.deep.equal([
      'consumer/group/group-member.ts',
      'kafka/broker-client.ts',
      'kafka/features.ts',
      'router/messages/internal.ts',
      'router/processors/groups.ts',
      'router/processors/operations.ts',
      'webhooks/start-leader.ts'
    ])
  })

  it('the kind of a descriptor is its name in the list', () => {
    for (const [name, { kind, tags }] of Object.entries(operations)) {
      expect([kind, tags]).to.deep.equal([name, { operation: name }])
    }
  })

  it('every operation that shares connections with others has a processor of its own', () => {
    const shared = [...operationsOfRole('control'), ...operationsOfRole('group')]
    expect(shared.map(({ createProcessor }) => typeof createProcessor)).to.deep.equal(shared.map(() => 'function'))
    const alone = [...operationsOfRole('fetch'), ...operationsOfRole('produce')].map(({ kind }) => kind)
    expect(alone).to.deep.equal(['fetchData', 'produceBatch'])
  })
})
