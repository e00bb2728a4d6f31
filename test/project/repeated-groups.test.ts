import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'chai'

/**
 * A regular expression that repeats a group, `(?:a|b)*`, throws a RangeError for a text of megabytes, and one in another
 * repetition may take exponential time. So each is named here, with what limits the text that it meets.
 */
const HEAD = 'the head of a request, of 16 KiB'
const OPERATOR = 'text of the operator'
const limits: Readonly<Record<string, readonly [count: number, limit: string]>> = {
  'apis/arion/target.ts': [1, HEAD],
  'apis/cloudevents/attributes.ts': [5, 'attributes, of 64 KiB (MAX_ATTRIBUTE_BYTES in json-event.ts)'],
  'apis/cloudevents/read-request.ts': [1, HEAD],
  'apis/kafboy/compat/sys-config.ts': [3, OPERATOR],
  'apis/kafka-pixy/compat/pixy-keys.ts': [1, OPERATOR],
  'apis/kafka-pixy/pixy-request.ts': [1, HEAD],
  'apis/kafka-pixy/produce.ts': [1, HEAD],
  'apis/kafka-properties.ts': [3, OPERATOR],
  'apis/kprf/push.ts': [1, HEAD],
  'cli/commands/read.ts': [1, OPERATOR],
  'core/pattern-parts.ts': [1, 'patterns of 1,000 and 2,000 characters (MAX_PATTERN_LENGTH where it is called)'],
  'embedded-broker/topics/topic-config.ts': [2, 'values of 32 KiB (MAX_VALUE_LENGTH)'],
  'http/api/asked-key.ts': [1, HEAD],
  'http/api/tail.ts': [1, HEAD],
  'http/engine/head.ts': [1, HEAD],
  'http/server/cors.ts': [1, HEAD],
  'http/status/units.ts': [1, 'a number']
}

const REPEATED_GROUP = /\)(?:[*+]|\{\d+,\d*\})/
const COMMENT = /^\s*(?:\*|\/\/|\/\*)/

describe('regular expressions that repeat a group', () => {
  it('meet short texts only, each in a file that names its limit here', () => {
    const found: Record<string, number> = {}
    for (const entry of readdirSync('src', { withFileTypes: true, recursive: true })) {
      if (!entry.isFile() || !entry.name.endsWith('.ts')) continue
      const file = join(entry.parentPath, entry.name)
      const lines = readFileSync(file, 'utf8').split('\n')
      const count = lines.filter(line => REPEATED_GROUP.test(line) && !COMMENT.test(line)).length
      if (count > 0) found[file.slice('src/'.length)] = count
    }
    expect(found).to.deep.equal(Object.fromEntries(Object.entries(limits).map(([file, [count]]) => [file, count])))
  })
})
