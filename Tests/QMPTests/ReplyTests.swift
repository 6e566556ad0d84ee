import AerostatQMP
import Testing

@Suite struct ReplyTests {
    @Test func `A check says what is in the balloon, and one of an older process that says nothing of it can be read`() throws {
        var check = SelfCheck(
            pagesChecked: 7,
            pagesWrong: 0,
            firstWrong: nil,
            pagesUsed: 3,
            pagesFree: 4,
            pagesFreeTopOrder: 0,
            pagesHeld: 0,
            pagesBallooned: 5,
            brokenInvariants: []
        )
        let answer = try check.json
        #expect(answer["pages-ballooned"] == 5)
        #expect(try answer.decode(SelfCheck.self) == check)
        guard case .object(var older) = answer else {
            Issue.record("not an object: \(answer)")
            return
        }
        older["pages-ballooned"] = nil
        check.pagesBallooned = nil
        #expect(try JSONValue.object(older).decode(SelfCheck.self) == check)
    }
}
