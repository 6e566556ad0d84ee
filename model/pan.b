	switch (t->back) {
	default: Uerror("bad return move");
	case  0: goto R999; /* nothing to undo */

		 /* CLAIM done_comes */
;
		;
		
	case 4: // STATE 6
		;
		p_restor(II);
		;
		;
		goto R999;

		 /* CLAIM ends */
;
		;
		
	case 6: // STATE 6
		;
		p_restor(II);
		;
		;
		goto R999;

		 /* PROC :init: */

	case 7: // STATE 1
		;
		((P6 *)_this)->p = trpt->bup.oval;
		;
		goto R999;
;
		;
		
	case 9: // STATE 13
		;
		((P6 *)_this)->p = trpt->bup.ovals[2];
		now.written[ Index(((P6 *)_this)->p, 3) ] = trpt->bup.ovals[1];
		now.used[ Index(((P6 *)_this)->p, 3) ] = trpt->bup.ovals[0];
		;
		ungrab_ints(trpt->bup.ovals, 3);
		goto R999;

	case 10: // STATE 13
		;
		((P6 *)_this)->p = trpt->bup.ovals[2];
		now.written[ Index(((P6 *)_this)->p, 3) ] = trpt->bup.ovals[1];
		now.used[ Index(((P6 *)_this)->p, 3) ] = trpt->bup.ovals[0];
		;
		ungrab_ints(trpt->bup.ovals, 3);
		goto R999;
;
		;
		
	case 12: // STATE 13
		;
		((P6 *)_this)->p = trpt->bup.oval;
		;
		goto R999;

	case 13: // STATE 13
		;
		((P6 *)_this)->p = trpt->bup.oval;
		;
		goto R999;

	case 14: // STATE 20
		;
		p_restor(II);
		;
		;
		goto R999;

		 /* PROC Saboteur */

	case 15: // STATE 1
		;
		now.link_up = trpt->bup.oval;
		;
		goto R999;
;
		;
		
	case 17: // STATE 3
		;
	/* 2 */	((P5 *)_this)->generation = trpt->bup.ovals[5];
	/* 1 */	((P5 *)_this)->p = trpt->bup.ovals[4];
	/* 0 */	((P5 *)_this)->kind = trpt->bup.ovals[3];
		XX = 1;
		unrecv(now.link, XX-1, 0, ((P5 *)_this)->kind, 1);
		unrecv(now.link, XX-1, 1, ((int)((P5 *)_this)->p), 0);
		unrecv(now.link, XX-1, 2, ((int)((P5 *)_this)->generation), 0);
		((P5 *)_this)->kind = trpt->bup.ovals[0];
		((P5 *)_this)->p = trpt->bup.ovals[1];
		((P5 *)_this)->generation = trpt->bup.ovals[2];
		;
		;
		ungrab_ints(trpt->bup.ovals, 6);
		goto R999;

	case 18: // STATE 12
		;
		p_restor(II);
		;
		;
		goto R999;

		 /* PROC Destination */

	case 19: // STATE 1
		;
		XX = 1;
		unrecv(now.link, XX-1, 0, ((P4 *)_this)->kind, 1);
		unrecv(now.link, XX-1, 1, ((int)((P4 *)_this)->p), 0);
		unrecv(now.link, XX-1, 2, ((int)((P4 *)_this)->generation), 0);
		((P4 *)_this)->kind = trpt->bup.ovals[0];
		((P4 *)_this)->p = trpt->bup.ovals[1];
		((P4 *)_this)->generation = trpt->bup.ovals[2];
		;
		;
		ungrab_ints(trpt->bup.ovals, 3);
		goto R999;

	case 20: // STATE 30
		;
		((P4 *)_this)->generation = trpt->bup.ovals[3];
		((P4 *)_this)->p = trpt->bup.ovals[2];
		now.there[ Index(((P4 *)_this)->p, 3) ] = trpt->bup.ovals[1];
	/* 0 */	((P4 *)_this)->kind = trpt->bup.ovals[0];
		;
		;
		ungrab_ints(trpt->bup.ovals, 4);
		goto R999;

	case 21: // STATE 30
		;
		((P4 *)_this)->generation = trpt->bup.ovals[2];
		((P4 *)_this)->p = trpt->bup.ovals[1];
	/* 0 */	((P4 *)_this)->kind = trpt->bup.ovals[0];
		;
		;
		ungrab_ints(trpt->bup.ovals, 3);
		goto R999;

	case 22: // STATE 6
		;
		((P4 *)_this)->prepared = trpt->bup.ovals[1];
	/* 0 */	((P4 *)_this)->kind = trpt->bup.ovals[0];
		;
		;
		ungrab_ints(trpt->bup.ovals, 2);
		goto R999;

	case 23: // STATE 30
		;
		((P4 *)_this)->generation = trpt->bup.ovals[1];
		((P4 *)_this)->p = trpt->bup.ovals[0];
		_m = unsend(now.answers);
		;
		ungrab_ints(trpt->bup.ovals, 2);
		goto R999;

	case 24: // STATE 8
		;
	/* 1 */	((P4 *)_this)->prepared = trpt->bup.ovals[1];
	/* 0 */	((P4 *)_this)->kind = trpt->bup.ovals[0];
		;
		;
		ungrab_ints(trpt->bup.ovals, 2);
		goto R999;

	case 25: // STATE 11
		;
		((P4 *)_this)->p = trpt->bup.ovals[1];
		now.destination_runs = trpt->bup.ovals[0];
		;
		ungrab_ints(trpt->bup.ovals, 2);
		goto R999;

	case 26: // STATE 14
		;
		((P4 *)_this)->p = trpt->bup.oval;
		;
		goto R999;
;
		;
		
	case 28: // STATE 22
		;
		_m = unsend(now.answers);
		;
		goto R999;
;
		
	case 29: // STATE 26
		goto R999;

	case 30: // STATE 30
		;
		((P4 *)_this)->generation = trpt->bup.ovals[1];
		((P4 *)_this)->p = trpt->bup.ovals[0];
		;
		ungrab_ints(trpt->bup.ovals, 2);
		goto R999;
;
		;
		
	case 32: // STATE 37
		;
		destination_over = trpt->bup.oval;
		;
		goto R999;

	case 33: // STATE 38
		;
		p_restor(II);
		;
		;
		goto R999;

		 /* PROC Source */

	case 34: // STATE 2
		;
		((P3 *)_this)->q = trpt->bup.ovals[1];
		now.armed = trpt->bup.ovals[0];
		;
		ungrab_ints(trpt->bup.ovals, 2);
		goto R999;

	case 35: // STATE 5
		;
		((P3 *)_this)->q = trpt->bup.ovals[1];
		now.logged[ Index(((P3 *)_this)->q, 3) ] = trpt->bup.ovals[0];
		;
		ungrab_ints(trpt->bup.ovals, 2);
		goto R999;

	case 36: // STATE 13
		;
		((P3 *)_this)->q = trpt->bup.oval;
		;
		goto R999;
;
		;
		
	case 38: // STATE 15
		;
		now.pending[ Index(((P3 *)_this)->q, 3) ] = trpt->bup.oval;
		;
		goto R999;

	case 39: // STATE 16
		;
		((P3 *)_this)->q = trpt->bup.oval;
		;
		goto R999;
;
		;
		
	case 41: // STATE 23
		;
		((P3 *)_this)->round = trpt->bup.oval;
		;
		goto R999;

	case 42: // STATE 28
		;
		now.word = trpt->bup.ovals[4];
		now.device = trpt->bup.ovals[3];
		now.device_id = trpt->bup.ovals[2];
		now.open = trpt->bup.ovals[1];
		((P3 *)_this)->id = trpt->bup.ovals[0];
		;
		ungrab_ints(trpt->bup.ovals, 5);
		goto R999;

	case 43: // STATE 31
		;
		((P3 *)_this)->q = trpt->bup.oval;
		;
		goto R999;
;
		;
		;
		;
		
	case 46: // STATE 34
		;
		now.pending[ Index(((P3 *)_this)->q, 3) ] = trpt->bup.oval;
		;
		goto R999;

	case 47: // STATE 36
		;
		now.sent[ Index(((P3 *)_this)->q, 3) ] = trpt->bup.ovals[1];
		now.fresh[ Index(((P3 *)_this)->q, 3) ] = trpt->bup.ovals[0];
		;
		ungrab_ints(trpt->bup.ovals, 2);
		goto R999;
;
		;
		;
		;
		
	case 50: // STATE 41
		;
		_m = unsend(now.link);
		;
		goto R999;
;
		;
		;
		;
		
	case 53: // STATE 52
		;
		((P3 *)_this)->q = trpt->bup.oval;
		;
		goto R999;

	case 54: // STATE 58
		;
		((P3 *)_this)->q = trpt->bup.oval;
		;
		goto R999;
;
		;
		;
		;
		
	case 57: // STATE 62
		;
		now.fresh[ Index(((P3 *)_this)->q, 3) ] = trpt->bup.ovals[1];
		now.announced[ Index(((P3 *)_this)->q, 3) ] = trpt->bup.ovals[0];
		;
		ungrab_ints(trpt->bup.ovals, 2);
		goto R999;
;
		;
		;
		;
		
	case 60: // STATE 66
		;
		_m = unsend(now.link);
		;
		goto R999;
;
		;
		;
		;
		
	case 63: // STATE 77
		;
		((P3 *)_this)->q = trpt->bup.oval;
		;
		goto R999;
;
		;
		;
		;
		
	case 66: // STATE 89
		;
		now.open = trpt->bup.oval;
		;
		goto R999;

	case 67: // STATE 92
		;
		now.word = trpt->bup.ovals[1];
		now.device = trpt->bup.ovals[0];
		;
		ungrab_ints(trpt->bup.ovals, 2);
		goto R999;
;
		
	case 68: // STATE 95
		goto R999;

	case 69: // STATE 98
		;
		((P3 *)_this)->q = trpt->bup.oval;
		;
		goto R999;
;
		;
		
	case 71: // STATE 106
		;
		((P3 *)_this)->q = trpt->bup.ovals[2];
		now.scratch[ Index(((P3 *)_this)->q, 3) ] = trpt->bup.ovals[1];
		now.logged[ Index(((P3 *)_this)->q, 3) ] = trpt->bup.ovals[0];
		;
		ungrab_ints(trpt->bup.ovals, 3);
		goto R999;

	case 72: // STATE 106
		;
		((P3 *)_this)->q = trpt->bup.oval;
		;
		goto R999;

	case 73: // STATE 113
		;
		((P3 *)_this)->q = trpt->bup.oval;
		;
		goto R999;
;
		;
		
	case 75: // STATE 123
		;
		((P3 *)_this)->q = trpt->bup.ovals[4];
		now.announced[ Index(((P3 *)_this)->q, 3) ] = trpt->bup.ovals[3];
		now.is_free[ Index(((P3 *)_this)->q, 3) ] = trpt->bup.ovals[2];
		now.pending[ Index(((P3 *)_this)->q, 3) ] = trpt->bup.ovals[1];
		now.scratch[ Index(((P3 *)_this)->q, 3) ] = trpt->bup.ovals[0];
		;
		ungrab_ints(trpt->bup.ovals, 5);
		goto R999;

	case 76: // STATE 123
		;
		((P3 *)_this)->q = trpt->bup.oval;
		;
		goto R999;

	case 77: // STATE 131
		;
	/* 0 */	((P3 *)_this)->round = trpt->bup.oval;
		;
		;
		goto R999;
;
		;
		
	case 79: // STATE 140
		;
		now.parked = trpt->bup.ovals[1];
		now.source_runs = trpt->bup.ovals[0];
		;
		ungrab_ints(trpt->bup.ovals, 2);
		goto R999;
;
		;
		
	case 81: // STATE 144
		;
		now.open = trpt->bup.oval;
		;
		goto R999;

	case 82: // STATE 147
		;
		now.word = trpt->bup.ovals[1];
		now.device = trpt->bup.ovals[0];
		;
		ungrab_ints(trpt->bup.ovals, 2);
		goto R999;
;
		
	case 83: // STATE 150
		goto R999;

	case 84: // STATE 153
		;
		((P3 *)_this)->q = trpt->bup.oval;
		;
		goto R999;
;
		;
		
	case 86: // STATE 161
		;
		((P3 *)_this)->q = trpt->bup.ovals[2];
		now.scratch[ Index(((P3 *)_this)->q, 3) ] = trpt->bup.ovals[1];
		now.logged[ Index(((P3 *)_this)->q, 3) ] = trpt->bup.ovals[0];
		;
		ungrab_ints(trpt->bup.ovals, 3);
		goto R999;

	case 87: // STATE 161
		;
		((P3 *)_this)->q = trpt->bup.oval;
		;
		goto R999;

	case 88: // STATE 168
		;
		((P3 *)_this)->q = trpt->bup.oval;
		;
		goto R999;
;
		;
		
	case 90: // STATE 178
		;
		((P3 *)_this)->q = trpt->bup.ovals[4];
		now.announced[ Index(((P3 *)_this)->q, 3) ] = trpt->bup.ovals[3];
		now.is_free[ Index(((P3 *)_this)->q, 3) ] = trpt->bup.ovals[2];
		now.pending[ Index(((P3 *)_this)->q, 3) ] = trpt->bup.ovals[1];
		now.scratch[ Index(((P3 *)_this)->q, 3) ] = trpt->bup.ovals[0];
		;
		ungrab_ints(trpt->bup.ovals, 5);
		goto R999;

	case 91: // STATE 178
		;
		((P3 *)_this)->q = trpt->bup.oval;
		;
		goto R999;

	case 92: // STATE 186
		;
		now.word = trpt->bup.oval;
		;
		goto R999;

	case 93: // STATE 187
		;
		((P3 *)_this)->q = trpt->bup.oval;
		;
		goto R999;
;
		;
		;
		;
		
	case 96: // STATE 190
		;
		now.pending[ Index(((P3 *)_this)->q, 3) ] = trpt->bup.oval;
		;
		goto R999;

	case 97: // STATE 192
		;
		now.sent[ Index(((P3 *)_this)->q, 3) ] = trpt->bup.ovals[1];
		now.fresh[ Index(((P3 *)_this)->q, 3) ] = trpt->bup.ovals[0];
		;
		ungrab_ints(trpt->bup.ovals, 2);
		goto R999;
;
		;
		;
		;
		
	case 100: // STATE 197
		;
		_m = unsend(now.link);
		;
		goto R999;
;
		;
		;
		;
		
	case 103: // STATE 208
		;
		((P3 *)_this)->q = trpt->bup.oval;
		;
		goto R999;

	case 104: // STATE 214
		;
		((P3 *)_this)->q = trpt->bup.oval;
		;
		goto R999;
;
		;
		;
		;
		
	case 107: // STATE 218
		;
		now.fresh[ Index(((P3 *)_this)->q, 3) ] = trpt->bup.ovals[1];
		now.announced[ Index(((P3 *)_this)->q, 3) ] = trpt->bup.ovals[0];
		;
		ungrab_ints(trpt->bup.ovals, 2);
		goto R999;
;
		;
		;
		;
		
	case 110: // STATE 222
		;
		_m = unsend(now.link);
		;
		goto R999;
;
		;
		;
		;
		
	case 113: // STATE 233
		;
		((P3 *)_this)->q = trpt->bup.oval;
		;
		goto R999;
;
		;
		;
		;
		
	case 116: // STATE 242
		;
		_m = unsend(now.link);
		;
		goto R999;
;
		;
		;
		;
		
	case 119: // STATE 250
		;
		XX = 1;
		unrecv(now.answers, XX-1, 0, 5, 1);
		;
		;
		goto R999;
;
		;
		;
		;
		;
		;
		
	case 123: // STATE 258
		;
		_m = unsend(now.link);
		;
		goto R999;
;
		;
		;
		;
		
	case 126: // STATE 266
		;
		XX = 1;
		unrecv(now.answers, XX-1, 0, 4, 1);
		;
		;
		goto R999;
;
		;
		
	case 128: // STATE 268
		;
		now.outcome_unknown = trpt->bup.oval;
		;
		goto R999;

	case 129: // STATE 271
		;
		now.armed = trpt->bup.oval;
		;
		goto R999;

	case 130: // STATE 273
		;
		now.open = trpt->bup.oval;
		;
		goto R999;

	case 131: // STATE 276
		;
		now.word = trpt->bup.ovals[1];
		now.device = trpt->bup.ovals[0];
		;
		ungrab_ints(trpt->bup.ovals, 2);
		goto R999;
;
		
	case 132: // STATE 279
		goto R999;

	case 133: // STATE 282
		;
		now.word = trpt->bup.oval;
		;
		goto R999;

	case 134: // STATE 283
		;
		now.armed = trpt->bup.oval;
		;
		goto R999;

	case 135: // STATE 286
		;
		now.link_up = trpt->bup.ovals[2];
		now.source_runs = trpt->bup.ovals[1];
		now.parked = trpt->bup.ovals[0];
		;
		ungrab_ints(trpt->bup.ovals, 3);
		goto R999;

	case 136: // STATE 289
		;
		now.host_over = trpt->bup.oval;
		;
		goto R999;

	case 137: // STATE 290
		;
		p_restor(II);
		;
		;
		goto R999;

		 /* PROC HintThread */
;
		;
		
	case 139: // STATE 4
		;
		((P2 *)_this)->id = trpt->bup.ovals[3];
		now.device_busy = trpt->bup.ovals[2];
		XX = 1;
		unrecv(now.ring, XX-1, 0, ((P2 *)_this)->kind, 1);
		unrecv(now.ring, XX-1, 1, ((int)((P2 *)_this)->value), 0);
		((P2 *)_this)->kind = trpt->bup.ovals[0];
		((P2 *)_this)->value = trpt->bup.ovals[1];
		;
		;
		ungrab_ints(trpt->bup.ovals, 4);
		goto R999;

	case 140: // STATE 5
		;
		now.fresh[0] = trpt->bup.oval;
		;
		goto R999;

	case 141: // STATE 7
		;
		now.logged[0] = trpt->bup.oval;
		;
		goto R999;
;
		
	case 142: // STATE 10
		goto R999;

	case 143: // STATE 13
		;
	/* 0 */	((P2 *)_this)->kind = trpt->bup.oval;
		;
		;
		goto R999;

	case 144: // STATE 19
		;
		now.device_busy = trpt->bup.ovals[2];
		now.device = trpt->bup.ovals[1];
	/* 0 */	((P2 *)_this)->value = trpt->bup.ovals[0];
		;
		;
		ungrab_ints(trpt->bup.ovals, 3);
		goto R999;

	case 145: // STATE 19
		;
		now.device_busy = trpt->bup.oval;
		;
		goto R999;

	case 146: // STATE 21
		;
	/* 0 */	((P2 *)_this)->kind = trpt->bup.oval;
		;
		;
		goto R999;

	case 147: // STATE 27
		;
		now.device_busy = trpt->bup.ovals[1];
		now.device = trpt->bup.ovals[0];
		;
		ungrab_ints(trpt->bup.ovals, 2);
		goto R999;

	case 148: // STATE 27
		;
		now.device_busy = trpt->bup.oval;
		;
		goto R999;

	case 149: // STATE 29
		;
	/* 0 */	((P2 *)_this)->kind = trpt->bup.oval;
		;
		;
		goto R999;

	case 150: // STATE 36
		;
		now.device_busy = trpt->bup.ovals[3];
		now.is_free[ Index(((P2 *)_this)->value, 3) ] = trpt->bup.ovals[2];
		now.pending[ Index(((P2 *)_this)->value, 3) ] = trpt->bup.ovals[1];
	/* 0 */	((P2 *)_this)->id = trpt->bup.ovals[0];
		;
		;
		ungrab_ints(trpt->bup.ovals, 4);
		goto R999;

	case 151: // STATE 36
		;
		now.device_busy = trpt->bup.oval;
		;
		goto R999;

	case 152: // STATE 43
		;
		p_restor(II);
		;
		;
		goto R999;

		 /* PROC Driver */

	case 153: // STATE 2
		;
		((P1 *)_this)->p = trpt->bup.oval;
		;
		goto R999;

	case 154: // STATE 5
		;
		((P1 *)_this)->p = trpt->bup.ovals[1];
		now.held[ Index(((P1 *)_this)->p, 3) ] = trpt->bup.ovals[0];
		;
		ungrab_ints(trpt->bup.ovals, 2);
		goto R999;

	case 155: // STATE 11
		;
		((P1 *)_this)->p = trpt->bup.oval;
		;
		goto R999;

	case 156: // STATE 14
		;
		((P1 *)_this)->active_id = trpt->bup.ovals[1];
	/* 0 */	((P1 *)_this)->active_id = trpt->bup.ovals[0];
		;
		;
		ungrab_ints(trpt->bup.ovals, 2);
		goto R999;
;
		;
		
	case 158: // STATE 19
		;
		((P1 *)_this)->p = trpt->bup.oval;
		_m = unsend(now.ring);
		;
		goto R999;
;
		;
		;
		;
		
	case 161: // STATE 23
		;
		now.held[ Index(((P1 *)_this)->p, 3) ] = trpt->bup.oval;
		;
		goto R999;

	case 162: // STATE 28
		;
		((P1 *)_this)->p = trpt->bup.oval;
		_m = unsend(now.ring);
		;
		goto R999;

	case 163: // STATE 28
		;
		((P1 *)_this)->p = trpt->bup.oval;
		;
		goto R999;
;
		;
		
	case 165: // STATE 36
		;
		_m = unsend(now.ring);
		;
		goto R999;

	case 166: // STATE 41
		;
		p_restor(II);
		;
		;
		goto R999;

		 /* PROC Memory */
;
		;
		
	case 168: // STATE 2
		;
		((P0 *)_this)->p = trpt->bup.oval;
		;
		goto R999;

	case 169: // STATE 4
		;
		((P0 *)_this)->p = trpt->bup.oval;
		;
		goto R999;

	case 170: // STATE 8
		;
		now.operations = trpt->bup.oval;
		;
		goto R999;

	case 171: // STATE 11
		;
		now.written[ Index(((P0 *)_this)->p, 3) ] = trpt->bup.ovals[1];
		now.used[ Index(((P0 *)_this)->p, 3) ] = trpt->bup.ovals[0];
		;
		ungrab_ints(trpt->bup.ovals, 2);
		goto R999;
;
		
	case 172: // STATE 38
		goto R999;

	case 173: // STATE 13
		;
		moved[ Index(((P0 *)_this)->p, 3) ] = trpt->bup.oval;
		;
		goto R999;

	case 174: // STATE 15
		;
		now.written[ Index(((P0 *)_this)->p, 3) ] = trpt->bup.oval;
		;
		goto R999;

	case 175: // STATE 16
		;
		now.fresh[ Index(((P0 *)_this)->p, 3) ] = trpt->bup.oval;
		;
		goto R999;

	case 176: // STATE 18
		;
		now.logged[ Index(((P0 *)_this)->p, 3) ] = trpt->bup.oval;
		;
		goto R999;
;
		
	case 177: // STATE 21
		goto R999;

	case 178: // STATE 25
		;
		now.written[ Index(((P0 *)_this)->p, 3) ] = trpt->bup.ovals[1];
		now.used[ Index(((P0 *)_this)->p, 3) ] = trpt->bup.ovals[0];
		;
		ungrab_ints(trpt->bup.ovals, 2);
		goto R999;

	case 179: // STATE 29
		;
		now.written[ Index(((P0 *)_this)->p, 3) ] = trpt->bup.ovals[2];
		now.used[ Index(((P0 *)_this)->p, 3) ] = trpt->bup.ovals[1];
		now.held[ Index(((P0 *)_this)->p, 3) ] = trpt->bup.ovals[0];
		;
		ungrab_ints(trpt->bup.ovals, 3);
		goto R999;

	case 180: // STATE 30
		;
		now.fresh[ Index(((P0 *)_this)->p, 3) ] = trpt->bup.oval;
		;
		goto R999;

	case 181: // STATE 32
		;
		now.logged[ Index(((P0 *)_this)->p, 3) ] = trpt->bup.oval;
		;
		goto R999;
;
		
	case 182: // STATE 35
		goto R999;
;
		;
		
	case 184: // STATE 46
		;
		p_restor(II);
		;
		;
		goto R999;
	}

