import { apis } from '../../src/apis/apis.js'
import type { Operation } from '../../src/http/access/access.js'
import type { Answer, Call, TestFolder } from './access.js'

/**
 * What the tests of the whole process have to know of an API: `test/apis/NAME/tested-api.ts` exports it as
 * `testedApi`. Names of settings are those of its section.
 */
export interface TestedApi {
  /** Settings for tests that are not about time: a busy machine is slow. */
  readonly patient: object
  /** Another value for each setting that has none that a test could guess, such as a text; nested ones as `a.b`. */
  readonly otherValues: Readonly<Record<string, unknown>>
  /** Settings that need a file, or each other, to be switched on. */
  readonly scenes?: Readonly<Record<string, (folder: TestFolder) => object>>
  /**
   * How its clients ask for an operation on the topic `orders` and the group `readers`.
   *
   * @param url ends with its prefix, or is that of its own port
   */
  readonly calls: Partial<Record<Operation, (url: string, client: Call) => Promise<Answer>>>
  /** A plain client: fails when an answer is not the one a client has always had. `url` is as above. */
  isServed(url: string, client: Call): Promise<void>
}

const load = async (name: string): Promise<[string, TestedApi]> => {
  const { testedApi } = (await import(`../apis/${name}/tested-api.ts`)) as { testedApi: TestedApi }
  return [name, testedApi]
}

/** By name. */
export const testedApis: ReadonlyMap<string, TestedApi> = new Map(await Promise.all(apis.map(({ name }) => load(name))))
